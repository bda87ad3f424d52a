// Errors: a class for each status, with a message.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as runloop from '@runloop/api-client';
import { Runloop } from '@runloop/api-client';
import { api, ownEmulator, sdk, unique } from './support.mjs';

const emulator = await ownEmulator();
const once = { emulator, maxRetries: 0 };

for (const http2 of [true, false]) {
  const over = http2 ? 'HTTP/2' : 'HTTP/1.1';
  const classes = [
    [400, 'BadRequestError'], [401, 'AuthenticationError'], [403, 'PermissionDeniedError'], [404, 'NotFoundError'], [409, 'ConflictError'],
    [422, 'UnprocessableEntityError'], [429, 'RateLimitError'], [500, 'InternalServerError'], [503, 'InternalServerError'],
  ];
  test(`a class for each status, ${over}`, async () => {
    for (const [status, name] of classes) {
      await emulator.inject({ match: 'devboxes.list', status, message: `because of ${status}` });
      await assert.rejects(api({ ...once, http2 }).devboxes.list(), (err) => {
        assert.ok(err instanceof Runloop[name], `${status} is a ${err.constructor.name}`);
        assert.equal(err.status, status);
        assert.equal(err.message, `${status} because of ${status}`);
        return true;
      });
    }
  });

  test(`a connection that is reset, ${over}`, async () => {
    await emulator.inject({ match: 'devboxes.list', reset: true });
    await assert.rejects(api({ ...once, http2 }).devboxes.list(), (err) => err instanceof Runloop.APIConnectionError && err.status === undefined);
  });

  test(`an answer that is late, ${over}`, async () => {
    await emulator.inject({ match: 'devboxes.list', latency_ms: 5000 });
    await assert.rejects(api({ ...once, http2, timeout: 300 }).devboxes.list(), Runloop.APIConnectionTimeoutError);
  });

  test(`a caller who gives up, ${over}`, async () => {
    await emulator.inject({ match: 'devboxes.list', latency_ms: 5000 });
    const controller = new AbortController();
    const call = api({ ...once, http2 }).devboxes.list({}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    await assert.rejects(call, Runloop.APIUserAbortError);
  });
}

test('what the emulator says itself', async () => {
  const client = api(once);
  const said = async (call, status, words) => assert.rejects(call, (err) => {
    assert.equal(err.status, status, err.message);
    assert.match(err.message, words);
    return true;
  });
  await said(api({ ...once, bearerToken: 'ak_wrong' }).devboxes.list(), 401, /key/);
  await said(client.devboxes.retrieve('dbx_nonexistent12345'), 400, /dbx_nonexistent12345/);
  await said(client.devboxes.retrieve('nonsense'), 400, /nonsense/);
  const { id } = await client.devboxes.create({ name: unique('gone') });
  const unknown = id.slice(0, -3) + (id.endsWith('000') ? '111' : '000');
  await said(client.devboxes.retrieve(unknown), 404, new RegExp(unknown));
  await said(client.devboxes.executions.retrieve(id, '01900000-0000-7000-8000-000000000000'), 404, /./);
  await said(client.secrets.retrieve('no_such_secret'), 404, /no_such_secret/);
  await said(client.get('/v1/no/such/operation'), 404, /no\/such/);
  await said(client.devboxes.list({ limit: -1 }), 400, /limit/);
  await said(client.post('/v1/devboxes', { body: { name: 7 } }), 400, /name/);
  await said(client.post(`/v1/devboxes/${id}/wait_for_status`, { body: { statuses: ['levitating'] } }), 400, /levitating/);
  await client.devboxes.shutdown(id);
  await said(client.devboxes.execute(id, { command: 'true', command_id: '01900000-0000-7000-8000-000000000001' }), 400, /shutdown|not running/);
});

test('the classes that the SDK exports are those that it throws', async () => {
  await emulator.inject({ match: 'devboxes.list', status: 404 });
  await assert.rejects(sdk(once).devbox.list(), runloop.NotFoundError ?? Runloop.NotFoundError);
});
