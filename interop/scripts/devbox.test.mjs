// The life of devboxes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api, devbox, eventually, overBoth, sdk, undo, unique } from './support.mjs';

overBoth('a devbox from its creation to its end', async (t, client) => {
  const name = unique('life');
  const box = await devbox(t, client, {
    name, metadata: { team: 'interop', empty: '' },
    environment_variables: { GREETING: 'grüß "dich" $HOME' },
    launch_parameters: { resource_size_request: 'SMALL', keep_alive_time_seconds: 600, launch_commands: ['echo launched > launched.txt'] },
  });
  const info = await box.getInfo();
  assert.match(info.id, /^dbx_/);
  assert.equal(info.id, box.id);
  assert.equal(info.status, 'running');
  assert.equal(info.name, name);
  assert.deepEqual(info.metadata, { team: 'interop', empty: '' });
  assert.equal(info.launch_parameters.resource_size_request, 'SMALL');
  assert.equal(info.launch_parameters.keep_alive_time_seconds, 600);
  assert.equal(info.end_time_ms ?? null, null);
  assert.ok(Math.abs(info.create_time_ms - Date.now()) < 60_000);
  assert.deepEqual(info.state_transitions.map((s) => s.status), ['provisioning', 'initializing', 'running']);

  assert.equal(await (await box.cmd.exec('printf %s "$GREETING"')).stdout(), 'grüß "dich" $HOME');
  assert.equal(await (await box.cmd.exec('cat launched.txt')).stdout(), 'launched\n');

  const ended = await box.shutdown();
  assert.equal(ended.status, 'shutdown');
  assert.equal(ended.shutdown_reason, 'api_shutdown');
  assert.ok(ended.end_time_ms >= ended.create_time_ms);
  assert.equal((await box.shutdown()).status, 'shutdown', 'shutdown is idempotent');
  assert.equal((await box.getInfo()).status, 'shutdown');
});

test('the first answer comes before the devbox runs', async (t) => {
  const client = api();
  const view = await client.devboxes.create({ name: unique('early') });
  undo(t, () => client.devboxes.shutdown(view.id));
  assert.ok(['provisioning', 'initializing'].includes(view.status), view.status);
  const running = await client.devboxes.awaitRunning(view.id);
  assert.equal(running.status, 'running');
  assert.equal(running.id, view.id);
});

test('names and metadata change', async (t) => {
  const client = sdk();
  const box = await devbox(t, client, { metadata: { a: '1' } });
  const renamed = await client.api.devboxes.update(box.id, { name: 'other' });
  assert.equal(renamed.name, 'other');
  assert.deepEqual(renamed.metadata, { a: '1' }, 'what is not given stays');
  const relabelled = await client.api.devboxes.update(box.id, { metadata: { b: '2' } });
  assert.equal(relabelled.name, 'other');
  assert.deepEqual(relabelled.metadata, { b: '2' });
  assert.deepEqual((await client.api.devboxes.update(box.id, { metadata: {} })).metadata, {});
});

test('a suspended devbox keeps its disk', async (t) => {
  const box = await devbox(t, sdk());
  await box.cmd.exec('echo kept > kept.txt');
  const before = await box.getInfo();
  const view = await box.suspend();
  assert.ok(['suspending', 'suspended'].includes(view.status), view.status);
  assert.equal((await box.awaitSuspended()).status, 'suspended');
  await assert.rejects(box.cmd.exec('true', {}, { maxRetries: 0 }), /4\d\d/);
  const resumed = await box.resume();
  assert.equal(resumed.status, 'running');
  assert.equal(resumed.name, before.name);
  assert.ok(resumed.state_transitions.length > before.state_transitions.length);
  assert.equal(await (await box.cmd.exec('cat kept.txt')).stdout(), 'kept\n');
});

test('what fails at launch is a failed devbox', async (t) => {
  const client = sdk();
  const view = await client.api.devboxes.create({ name: unique('bad'), launch_parameters: { launch_commands: ['exit 3'] } });
  undo(t, () => client.api.devboxes.shutdown(view.id));
  await assert.rejects(client.api.devboxes.awaitRunning(view.id), /failure/);
  const failed = await client.api.devboxes.retrieve(view.id);
  assert.equal(failed.status, 'failure');
  assert.equal(failed.failure_reason, 'execution_failed');
});

test('a devbox ends with its entrypoint', async (t) => {
  const client = sdk();
  const box = await devbox(t, client, { entrypoint: 'until [ -e go ]; do sleep 0.05; done' });
  await box.cmd.exec('touch go', {}, { maxRetries: 0 }).catch(() => {}); // the devbox may end first
  const ended = await eventually(() => box.getInfo(), (v) => v.status === 'shutdown', 'the devbox');
  assert.equal(ended.shutdown_reason, 'entrypoint_exit');
});

test('a devbox ends with its keep-alive time', async (t) => {
  const box = await devbox(t, sdk(), { launch_parameters: { keep_alive_time_seconds: 2 } });
  const ended = await eventually(() => box.getInfo(), (v) => v.status === 'shutdown', 'the devbox');
  assert.equal(ended.shutdown_reason, 'keep_alive_timeout');
});

test('keep-alive, usage and logs', async (t) => {
  const client = sdk();
  const box = await devbox(t, client);
  await box.keepAlive();
  const { executionId } = await box.cmd.exec('echo to be logged; exit 7');
  const usage = await client.api.devboxes.retrieveResourceUsage(box.id);
  assert.equal(usage.id, box.id);
  for (const field of ['start_time_ms', 'total_active_seconds', 'total_elapsed_seconds', 'vcpu_seconds', 'memory_gb_seconds', 'disk_gb_seconds']) {
    assert.ok(Number.isInteger(usage[field]), `${field} is ${usage[field]}`);
  }
  const { logs } = await eventually(() => box.logs({ execution_id: executionId }),
    (v) => v.logs.some((l) => l.exit_code === 7), 'the logs');
  assert.ok(logs.some((l) => l.cmd === 'echo to be logged; exit 7' && l.source === 'exec'));
  assert.ok(logs.some((l) => l.message?.includes('to be logged')));
});

test('waiting has its time', async (t) => {
  const client = sdk();
  const box = await devbox(t, client);
  await assert.rejects(box.awaitSuspended({ longPoll: { timeoutMs: 1500 } }), { name: 'PollingTimeoutError' });
});

test('options that contradict one another are refused', async () => {
  const client = api();
  await assert.rejects(client.devboxes.create({ blueprint_id: 'bpt_a', snapshot_id: 'snp_b' }), { status: 400 });
  await assert.rejects(client.devboxes.create({ launch_parameters: { resource_size_request: 'HUGE' } }), { status: 400 });
  await assert.rejects(client.devboxes.create({ secrets: { TOKEN: unique('nosuch') } }), { status: 400 });
});
