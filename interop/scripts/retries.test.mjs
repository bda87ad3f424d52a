// Retries: what the SDK does when the emulator fails on purpose, and that
// nothing is done twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api, collect, ownEmulator, sdk, undo, unique } from './support.mjs';

const emulator = await ownEmulator();

/** The tries of an operation since `mark`. */
async function tries(op, since) {
  return (await emulator.requests(op)).slice(since);
}
const mark = async (op) => (await emulator.requests(op)).length;

for (const http2 of [true, false]) {
  const over = http2 ? 'HTTP/2' : 'HTTP/1.1';
  const client = (rest = {}) => api({ emulator, http2, ...rest });

  test(`what passes is tried again, ${over}`, async () => {
    for (const fault of [{ status: 503 }, { status: 408 }, { status: 409 }, { status: 429, retry_after_ms: 20 }, { reset: true }]) {
      const since = await mark('axons.create');
      await emulator.inject({ match: 'axons.create', header: { 'Retry-After-Ms': '10' }, ...fault });
      const name = unique('axon');
      assert.equal((await client().axons.create({ name })).name, name);
      const seen = await tries('axons.create', since);
      assert.equal(seen.length, 2, JSON.stringify(fault));
      assert.deepEqual(seen.map((r) => r.headers['X-Stainless-Retry-Count']), ['0', '1']);
      assert.equal(seen[0].headers['X-Request-Id'], seen[1].headers['X-Request-Id'], 'one idempotency key');
      assert.match(seen[0].headers['X-Request-Id'], /^stainless-node-retry-/);
      assert.deepEqual(JSON.parse(seen[1].body), { name });
      assert.equal(seen[0].proto, http2 ? 'HTTP/2.0' : 'HTTP/1.1');
    }
  });

  test(`what does not pass is not, ${over}`, async () => {
    for (const status of [400, 403, 404, 422]) {
      const since = await mark('axons.list');
      await emulator.inject({ match: 'axons.list', status });
      await assert.rejects(client().axons.list(), { status });
      assert.equal((await tries('axons.list', since)).length, 1);
    }
  });

  test(`the server's word counts, ${over}`, async () => {
    let since = await mark('axons.list');
    await emulator.inject({ match: 'axons.list', status: 503, should_retry: false });
    await assert.rejects(client().axons.list(), { status: 503 });
    assert.equal((await tries('axons.list', since)).length, 1);
    since = await mark('axons.list');
    await emulator.inject({ match: 'axons.list', status: 400, should_retry: true, header: { 'Retry-After-Ms': '10' } });
    await client().axons.list();
    assert.equal((await tries('axons.list', since)).length, 2);
  });

  test(`retries have an end, ${over}`, async () => {
    const since = await mark('axons.list');
    await emulator.inject({ match: 'axons.list', status: 500, times: 10, header: { 'Retry-After-Ms': '5' } });
    await assert.rejects(client({ maxRetries: 3 }).axons.list(), { status: 500 });
    assert.equal((await tries('axons.list', since)).length, 4);
    await emulator.inject({ match: 'none' });
    for (let i = 0; i < 6; i++) await client({ maxRetries: 0 }).axons.list().catch(() => {}); // uses up the fault
  });

  test(`an answer that was lost is not a second devbox, ${over}`, async (t) => {
    const name = unique('lost');
    await emulator.inject({ match: 'devboxes.create', after_work: true });
    const view = await client().devboxes.create({ name });
    undo(t, () => client().devboxes.shutdown(view.id));
    const all = [];
    for await (const d of client().devboxes.list()) if (d.name === name) all.push(d.id);
    assert.deepEqual(all, [view.id]);
  });

  test(`an idempotency key is not good for another request, ${over}`, async (t) => {
    const key = unique('key');
    const object = (name) => client().objects.create({ name, content_type: 'text' }, { idempotencyKey: key });
    const { id } = await object('first');
    undo(t, () => client().objects.delete(id));
    assert.equal((await object('first')).id, id);
    await assert.rejects(object('second'), { status: 422 });
  });

  test(`a body that is cut is an error, ${over}`, async () => {
    const since = await mark('axons.list');
    await emulator.inject({ match: 'axons.list', cut_at: 5 });
    await assert.rejects(client({ maxRetries: 0 }).axons.list());
    assert.equal((await tries('axons.list', since)).length, 1);
  });

  test(`a stream that is cut is an error or its end, never a wrong text, ${over}`, async (t) => {
    const rich = sdk({ emulator, http2 });
    const box = await rich.devbox.create({ name: unique('cut') });
    undo(t, () => box.shutdown());
    const res = await box.cmd.exec('echo one; echo two; echo three');
    await emulator.inject({ match: 'executions.stream_stdout*', cut_at: 20 });
    const stream = () => rich.api.devboxes.executions.streamStdoutUpdates(box.id, res.executionId, {});
    const cut = await collect(await stream()).catch(() => []);
    assert.ok('one\ntwo\nthree\n'.startsWith(cut.map((c) => c.output).join('')));
    assert.equal((await collect(await stream())).map((c) => c.output).join(''), 'one\ntwo\nthree\n');
  });
}

test('waiting goes on after a hold that has ended', async (t) => {
  const client = api({ emulator });
  const { id } = await client.devboxes.create({ name: unique('wait') });
  undo(t, () => client.devboxes.shutdown(id));
  await emulator.inject({ match: 'devboxes.wait*', status: 408, times: 3 });
  assert.equal((await client.devboxes.awaitRunning(id)).status, 'running');
});
