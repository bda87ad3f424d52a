// ComputeSDK's provider for Runloop.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runloop } from '@computesdk/runloop';
import { compute } from 'computesdk';
import { headers, shared, undo, unique } from './support.mjs';

// The provider makes its client itself, and takes what it needs from here.
process.env.RUNLOOP_CUSTOM_HEADERS = Object.entries(headers).map(([k, v]) => `${k}: ${v}`).join('\n');
const provider = runloop({ apiKey: shared.apiKey, timeout: 300_000 });

async function sandbox(t, options = {}) {
  const sb = await provider.sandbox.create({ name: unique('box'), ...options });
  undo(t, () => provider.sandbox.destroy(sb.sandboxId));
  return sb;
}

test('a sandbox from its creation to its end', async (t) => {
  const sb = await sandbox(t, { envs: { COLOUR: 'blue' }, metadata: { by: 'computesdk' } });
  assert.match(sb.sandboxId, /^dbx_/);
  const info = await sb.getInfo();
  assert.equal(info.status, 'running');
  assert.equal(info.provider, 'runloop');
  assert.equal(info.timeout, 300_000);
  assert.equal(info.metadata.by, 'computesdk');
  const res = await sb.runCommand('echo "$COLOUR"; echo oops >&2; exit 6');
  assert.equal(res.stdout, 'blue\n');
  assert.equal(res.stderr, 'oops\n');
  assert.equal(res.exitCode, 6);
  const placed = await sb.runCommand('pwd; echo "$EXTRA"', { cwd: '/tmp' });
  assert.equal(placed.stdout, '/tmp\n\n');
  const withEnv = await sb.runCommand('sh -c \'echo "$EXTRA"\'', { env: { EXTRA: 'more' } });
  assert.equal(withEnv.stdout, 'more\n');

  assert.equal((await provider.sandbox.getById(sb.sandboxId)).sandboxId, sb.sandboxId);
  assert.equal(await provider.sandbox.getById('dbx_nosuch'), null);
  assert.ok((await provider.sandbox.list()).some((s) => s.sandboxId === sb.sandboxId));
  await sb.destroy();
  assert.equal((await provider.sandbox.getById(sb.sandboxId)).getInstance().status, 'shutdown');
});

test('its file system', async (t) => {
  const { filesystem: fs } = await sandbox(t);
  const text = 'Grüße\n"quoted" $HOME\n';
  await fs.mkdir('/tmp/dir/sub');
  await fs.writeFile('/tmp/dir/a.txt', text);
  assert.equal(await fs.readFile('/tmp/dir/a.txt'), text);
  assert.equal(await fs.exists('/tmp/dir/a.txt'), true);
  assert.equal(await fs.exists('/tmp/dir/b.txt'), false);
  const entries = (await fs.readdir('/tmp/dir')).filter((e) => !e.name.startsWith('.'));
  assert.deepEqual(entries.map((e) => [e.name, e.type]).sort(), [['a.txt', 'file'], ['sub', 'directory']]);
  await fs.remove('/tmp/dir');
  assert.equal(await fs.exists('/tmp/dir'), false);
  await assert.rejects(fs.readFile('/no/such'));
});

test('snapshots and templates', async (t) => {
  const sb = await sandbox(t);
  await sb.runCommand('echo saved > /tmp/saved.txt');
  const name = unique('snap');
  const snapshot = await provider.snapshot.create(sb.sandboxId, { name });
  undo(t, () => provider.snapshot.delete(snapshot.id));
  assert.ok((await provider.snapshot.list()).some((s) => s.id === snapshot.id));
  const copy = await sandbox(t, { snapshotId: snapshot.id });
  assert.equal((await copy.runCommand('cat /tmp/saved.txt')).stdout, 'saved\n');
  const template = await provider.template.create({ name: unique('template'), system_setup_commands: ['true'] });
  assert.match(template.id, /^bpt_/);
  assert.ok((await provider.template.list()).some((b) => b.id === template.id));
  await provider.template.delete(template.id);
});

test('the address of a port', async (t) => {
  const sb = await sandbox(t);
  const url = await sb.getUrl({ port: 3000 });
  const tunnel = (await sb.getInstance().client.api.devboxes.retrieve(sb.sandboxId)).tunnel;
  assert.ok(url.startsWith(`https://3000-${tunnel.tunnel_key}.tunnel.`), url);
});

test('through the portable entry', async (t) => {
  compute.setConfig({ provider });
  const sb = await compute.sandbox.create({ name: unique('portable') });
  undo(t, () => sb.destroy());
  assert.equal((await sb.runCommand('echo portable')).stdout, 'portable\n');
});
