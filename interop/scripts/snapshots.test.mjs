// Snapshots of disks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { devbox, overBoth, sdk, sharedDevbox, undo, unique } from './support.mjs';

const box = sharedDevbox();

overBoth('a snapshot from its creation to its end', async (t, client, transport) => {
  const b = client.devbox.fromId((await box(client)).id);
  await b.file.write({ file_path: 'state.txt', contents: `state of ${transport}` });
  const name = unique('snap');
  const snapshot = await b.snapshotDisk({ name, metadata: { kind: transport }, commit_message: 'as it was' });
  undo(t, () => snapshot.delete());
  await b.file.write({ file_path: 'state.txt', contents: 'changed since' });

  const info = await snapshot.getInfo();
  assert.equal(info.status, 'complete');
  assert.equal(info.error_message ?? null, null);
  assert.match(info.snapshot.id, /^snp_/);
  assert.equal(info.snapshot.id, snapshot.id);
  assert.equal(info.snapshot.name, name);
  assert.equal(info.snapshot.commit_message, 'as it was');
  assert.equal(info.snapshot.source_devbox_id, b.id);
  assert.deepEqual(info.snapshot.metadata, { kind: transport });

  const copy = await snapshot.createDevbox({ name: unique('copy') });
  undo(t, () => copy.shutdown());
  assert.equal((await copy.getInfo()).snapshot_id, snapshot.id);
  assert.equal(await copy.file.read({ file_path: 'state.txt' }), `state of ${transport}`);

  await snapshot.delete();
  assert.equal((await snapshot.queryStatus()).status, 'deleted');
  await snapshot.delete(); // once more is no error
  assert.equal(await copy.file.read({ file_path: 'state.txt' }), `state of ${transport}`, 'the devbox outlives it');
  await assert.rejects(client.api.devboxes.create({ snapshot_id: snapshot.id }), (err) => err.status >= 400 && err.status < 500);
});

test('what is said of a snapshot changes', async (t) => {
  const client = sdk();
  const snapshot = await (await box(client)).snapshotDisk({ name: unique('before'), metadata: { a: '1' } });
  undo(t, () => snapshot.delete());
  const after = unique('after');
  await snapshot.update({ name: after });
  let { snapshot: view } = await snapshot.getInfo();
  assert.equal(view.name, after);
  assert.deepEqual(view.metadata, { a: '1' });
  await snapshot.update({ metadata: { b: '2' } });
  ({ snapshot: view } = await snapshot.getInfo());
  assert.deepEqual(view.metadata, { b: '2' });
});

test('snapshots are found by devbox and by metadata', async (t) => {
  const client = sdk();
  const other = await devbox(t, client);
  const label = unique('label');
  const a = await client.api.devboxes.snapshotDisk(other.id, { metadata: { label, n: 'a' } }); // returns when it is done
  undo(t, () => client.api.devboxes.diskSnapshots.delete(a.id));
  const b = await other.snapshotDiskAsync({ metadata: { label, n: 'b' } });
  undo(t, () => b.delete());
  assert.equal((await b.awaitCompleted()).status, 'complete');
  const find = async (query) => {
    const ids = [];
    for await (const s of client.api.devboxes.listDiskSnapshots(query)) ids.push(s.id);
    return ids;
  };
  assert.deepEqual(await find({ devbox_id: other.id }), [b.id, a.id], 'the newest first');
  assert.deepEqual(await find({ devbox_id: other.id, limit: 1 }), [b.id, a.id], 'page by page');
  assert.deepEqual(await find({ 'metadata[label]': label, 'metadata[n]': 'a' }), [a.id]);
  assert.deepEqual(await find({ 'metadata[label]': label, 'metadata[n]': 'none' }), []);
  const wrapped = await client.snapshot.list({ devbox_id: other.id });
  assert.deepEqual(wrapped.map((s) => s.id), [b.id, a.id]);
});
