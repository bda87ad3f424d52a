// Stored objects.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { api, devbox, overBoth, sdk, undo, unique } from './support.mjs';

const hash = (b) => createHash('sha256').update(b).digest('hex');

overBoth('an object from its creation to its end', async (t, client, transport) => {
  const name = unique('bytes');
  const bytes = randomBytes(1 << 20);
  const object = await client.storageObject.create({ name, content_type: 'binary', metadata: { transport }, ttl_ms: 3_600_000 });
  undo(t, () => object.delete());
  let info = await object.getInfo();
  assert.match(info.id, /^obj_/);
  assert.equal(info.state, 'UPLOADING');
  assert.equal(info.delete_after_time_ms - info.create_time_ms, 3_600_000);
  await object.uploadContent(bytes);
  await object.complete();
  info = await object.getInfo();
  assert.equal(info.state, 'READ_ONLY');
  assert.equal(info.size_bytes, bytes.length);
  assert.equal(info.name, name);
  assert.equal(info.content_type, 'binary');
  assert.deepEqual(info.metadata, { transport });
  assert.equal(info.upload_url ?? null, null);
  assert.equal(hash(await object.downloadAsBuffer()), hash(bytes));

  const { download_url: url } = await object.getDownloadUrl(60);
  const part = await fetch(url, { headers: { Range: 'bytes=10-19' } });
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(10, 20));

  await assert.rejects(object.complete({ maxRetries: 0 }), { status: 409 });
  await object.delete();
  assert.equal((await object.getInfo()).state, 'DELETED');
  await assert.rejects(object.getDownloadUrl(), { status: 400 });
});

test('text, files and nothing', async (t) => {
  const client = sdk();
  const text = await client.storageObject.uploadFromText('Grüße, 世界 😀\n', unique('text'));
  undo(t, () => text.delete());
  assert.equal((await text.getInfo()).content_type, 'text');
  assert.equal(await text.downloadAsText(), 'Grüße, 世界 😀\n');
  const empty = await client.storageObject.uploadFromBuffer(Buffer.alloc(0), unique('empty'), 'binary');
  undo(t, () => empty.delete());
  assert.equal((await empty.getInfo()).size_bytes, 0);
  assert.equal((await empty.downloadAsBuffer()).length, 0);
  const dir = await mkdtemp(join(tmpdir(), 'interop-'));
  undo(t, () => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'page.html'), '<p>page</p>');
  const file = await client.storageObject.uploadFromFile(join(dir, 'page.html'), unique('file'));
  undo(t, () => file.delete());
  assert.equal((await file.getInfo()).content_type, 'text');
  assert.equal(await file.downloadAsText(), '<p>page</p>');
});

test('objects are files and directories of devboxes', async (t) => {
  const client = sdk();
  const dir = await mkdtemp(join(tmpdir(), 'interop-'));
  undo(t, () => rm(dir, { recursive: true }));
  await mkdir(join(dir, 'pkg'));
  await writeFile(join(dir, 'pkg', 'run.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
  await writeFile(join(dir, 'debug.log'), 'ignored');
  const tree = await client.storageObject.uploadFromDir(dir, { name: unique('tree') }, { ignore: ['*.log'] });
  undo(t, () => tree.delete());
  assert.equal((await tree.getInfo()).content_type, 'tgz');
  const text = await client.storageObject.uploadFromText('mounted text', unique('text'));
  undo(t, () => text.delete());
  const box = await devbox(t, client, {
    mounts: [{ '/home/user/tree': tree, '/home/user/note.txt': text }, { type: 'file_mount', target: '/etc/app.conf', content: 'a = 1\n' }],
  });
  assert.equal(await box.file.read({ file_path: 'note.txt' }), 'mounted text');
  assert.equal(await box.file.read({ file_path: '/etc/app.conf' }), 'a = 1\n');
  assert.equal(await (await box.cmd.exec('ls -A tree; tree/pkg/run.sh')).stdout(), 'pkg\nran\n');
});

test('objects are listed', async (t) => {
  const client = api();
  const name = unique('listed');
  const made = [];
  for (const type of ['text', 'binary', 'text']) made.push(await client.objects.create({ name: `${name}-${type}`, content_type: type }));
  undo(t, () => Promise.all(made.map((o) => client.objects.delete(o.id))));
  const find = async (query) => {
    const ids = [];
    for await (const o of client.objects.list({ name, ...query })) ids.push(o.id);
    return ids;
  };
  const [a, b, c] = made.map((o) => o.id);
  assert.deepEqual(await find({ limit: 2 }), [c, b, a]);
  assert.deepEqual(await find({ content_type: 'binary' }), [b]);
  assert.deepEqual(await find({ state: 'READ_ONLY' }), []);
  await assert.rejects(client.objects.create({ name, content_type: 'picture' }), { status: 400 });
});
