// Secrets, keys and the account.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api, devbox, overBoth, sdk, unique } from './support.mjs';

overBoth('a secret from its creation to its end', async (t, client) => {
  const name = unique('SECRET').replaceAll('-', '_');
  const secret = await client.secret.create({ name, value: 'first value' });
  const view = await secret.getInfo();
  assert.match(view.id, /^sec_/);
  assert.deepEqual(Object.keys(view).sort(), ['create_time_ms', 'id', 'name', 'update_time_ms'], 'the value is never told');
  assert.equal(view.name, name);
  await assert.rejects(client.secret.create({ name, value: 'again' }), { status: 400 });

  const box = await devbox(t, client, { secrets: { TOKEN: secret, SAME: name } });
  assert.equal(await (await box.cmd.exec('echo "$TOKEN/$SAME"')).stdout(), 'first value/first value\n');
  assert.ok(!JSON.stringify(await box.getInfo()).includes('first value'));

  await secret.update({ value: 'second value' });
  assert.ok((await secret.getInfo()).update_time_ms >= view.update_time_ms);
  const later = await devbox(t, client, { secrets: { TOKEN: name } });
  assert.equal(await (await later.cmd.exec('echo "$TOKEN"')).stdout(), 'second value\n');

  assert.ok((await client.secret.list({ limit: 1000 })).some((s) => s.name === name));
  await secret.delete();
  await assert.rejects(secret.getInfo(), { status: 404 });
  assert.ok(!(await client.secret.list({ limit: 1000 })).some((s) => s.name === name));
});

test('the account', async () => {
  const me = await api().accounts.me();
  assert.ok(me.id);
  assert.ok(me.name);
  assert.match(me.tier, /^ACCOUNT_TIER_/);
  assert.equal(me.account_status, 'ACCOUNT_STATUS_ENABLED');
});

test('a key that was made is a key', async () => {
  const client = api();
  const name = unique('key');
  const key = await client.apikeys.create({ name });
  assert.match(key.key_secret, /^ak_/);
  assert.equal(key.name, name);
  assert.equal((await api({ bearerToken: key.key_secret }).accounts.me()).id, (await client.accounts.me()).id);
  const scopes = [{ access_level: 'ACCESS_LEVEL_READ', resource_type: 'RESOURCE_TYPE_DEVBOXES' }];
  const restricted = await client.restrictedKeys.create({ name: unique('restricted'), scopes });
  assert.match(restricted.key_secret, /^rk_/);
  assert.deepEqual(restricted.scopes, scopes);
});
