// Files, as text and as bytes.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { toFile } from '@runloop/api-client';
import { overBoth, sdk, sharedDevbox } from './support.mjs';

const box = sharedDevbox();
const hash = (b) => createHash('sha256').update(b).digest('hex');

overBoth('text goes in and comes out', async (t, client, transport) => {
  const b = client.devbox.fromId((await box(client)).id);
  const text = 'first\n\tsecond "quoted" \\ $HOME `date`\r\nGrüße, 世界 😀\n\n';
  const path = `/tmp/deep/er/${transport}.txt`;
  const written = await b.file.write({ file_path: path, contents: text });
  assert.equal(written.exit_status, 0);
  assert.equal(written.devbox_id, b.id);
  assert.equal(await b.file.read({ file_path: path }), text);
  assert.equal(await (await b.cmd.exec(`sha256sum < ${path}`)).stdout(), `${hash(text)}  -\n`);
  await b.file.write({ file_path: path, contents: '' });
  assert.equal(await b.file.read({ file_path: path }), '');
});

overBoth('every byte goes in and comes out', async (t, client, transport) => {
  const b = client.devbox.fromId((await box(client)).id);
  const bytes = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, i) => i)), randomBytes(1 << 20)]);
  const path = `/tmp/${transport}.bin`;
  await b.file.upload({ path, file: await toFile(bytes, 'any.bin') });
  assert.equal(await (await b.cmd.exec(`sha256sum < ${path}`)).stdout(), `${hash(bytes)}  -\n`);
  const res = await b.file.download({ path });
  assert.equal(res.headers.get('content-type'), 'application/octet-stream');
  const back = Buffer.from(await res.arrayBuffer());
  assert.equal(back.length, bytes.length);
  assert.equal(hash(back), hash(bytes));
});

test('names begin at home', async () => {
  const b = await box(sdk());
  await b.file.write({ file_path: 'relative.txt', contents: 'r' });
  await b.file.upload({ path: '~/tilde.txt', file: await toFile(Buffer.from('t'), 'x') });
  assert.equal(await (await b.cmd.exec('cat /home/user/relative.txt /home/user/tilde.txt')).stdout(), 'rt');
  assert.equal(await b.file.read({ file_path: '~/relative.txt' }), 'r');
  const odd = "a 'quoted' $(name) *.txt";
  await b.file.write({ file_path: odd, contents: 'odd' });
  assert.equal(await b.file.read({ file_path: odd }), 'odd');
});

test('nothing in a file is a file', async () => {
  const b = await box(sdk());
  await b.file.upload({ path: '/tmp/empty', file: await toFile(Buffer.alloc(0), 'empty') });
  assert.equal((await (await b.file.download({ path: '/tmp/empty' })).arrayBuffer()).byteLength, 0);
});

test('what is not there is an error', async () => {
  const b = await box(sdk({ maxRetries: 0 }));
  for (const call of [() => b.file.read({ file_path: '/no/such' }), () => b.file.download({ path: '/no/such' }), () => b.file.read({ file_path: '/tmp' })]) {
    await assert.rejects(call, (err) => err.status >= 400 && err.status < 500 && err.message.length > 10);
  }
});

test("the SDK's tools for agents", async () => {
  const client = sdk();
  const b = await box(client);
  const files = client.api.devboxes.tools.fileTools(b.id);
  await files.write_file_contents.execute({ file_path: '/tmp/tool.txt', contents: 'by a tool' });
  assert.match(await files.read_file_contents.execute({ file_path: '/tmp/tool.txt' }), /by a tool/);
  const shell = client.api.devboxes.tools.shellTools(b.id);
  assert.match(await shell.execute_command.execute({ command: 'cat /tmp/tool.txt; echo' }), /by a tool/);
});
