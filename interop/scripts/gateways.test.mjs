// Gateways, which add credentials to requests, and MCP servers.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { devbox, overBoth, sdk, undo, unique } from './support.mjs';

// The service behind the gateway: it tells what it was asked.
let upstream;
before(async () => {
  upstream = createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, body: Buffer.concat(chunks).toString('base64') }));
  });
  await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));
});
after(() => { upstream.closeAllConnections(); upstream.close(); });

overBoth('a gateway from its creation to its end', async (t, client) => {
  const name = unique('gateway');
  const config = await client.gatewayConfig.create({ name, endpoint: 'https://example.com/v1', auth_mechanism: { type: 'header', key: 'x-api-key' }, description: 'd' });
  const info = await config.getInfo();
  assert.match(info.id, /^gwc_/);
  assert.equal(info.endpoint, 'https://example.com/v1');
  assert.deepEqual(info.auth_mechanism, { type: 'header', key: 'x-api-key' });
  const updated = await config.update({ auth_mechanism: { type: 'bearer' } });
  assert.equal(updated.auth_mechanism.type, 'bearer');
  assert.equal(updated.description, 'd', 'what is not given stays');
  assert.ok((await client.gatewayConfig.list({ name })).some((c) => c.id === config.id));
  await config.delete();
  await assert.rejects(config.getInfo(), { status: 404 });
  await assert.rejects(client.gatewayConfig.create({ name: unique('odd'), endpoint: 'https://example.com', auth_mechanism: { type: 'header' } }), { status: 400 });
});

test('a gateway puts the secret in, and only for the token', async (t) => {
  const client = sdk();
  const secret = await client.secret.create({ name: unique('key'), value: 'the real secret' });
  undo(t, () => secret.delete());
  const config = await client.gatewayConfig.create({
    name: unique('gateway'), endpoint: `http://127.0.0.1:${upstream.address().port}/base`, auth_mechanism: { type: 'header', key: 'x-api-key' },
    custom_headers: [{ name: 'x-extra', value: 'extra' }],
  });
  undo(t, () => config.delete());
  const box = await devbox(t, client, { gateways: { LLM: { gateway: config.id, secret } } });
  const view = await box.getInfo();
  assert.equal(view.gateway_specs.LLM.gateway_config_id, config.id);
  const env = (await (await box.cmd.exec('echo "$LLM_URL"; echo "$LLM"; env')).stdout()).split('\n');
  const [url, token] = env;
  assert.match(url, /^https?:\/\//);
  assert.match(token, /^gws_/);
  assert.ok(!env.join('\n').includes('the real secret'));

  const res = await fetch(`${url.replace(/\/$/, '')}/chat?q=1`, {
    method: 'POST', headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/octet-stream' }, body: Buffer.from([0, 1, 254, 255]),
  });
  assert.equal(res.status, 200);
  const asked = await res.json();
  assert.equal(asked.method, 'POST');
  assert.equal(asked.url, '/base/chat?q=1');
  assert.equal(asked.headers['x-api-key'], 'the real secret');
  assert.equal(asked.headers['x-extra'], 'extra');
  assert.ok(!JSON.stringify(asked.headers).includes(token), 'the token stays');
  assert.equal(asked.body, Buffer.from([0, 1, 254, 255]).toString('base64'));
  const inside = await box.cmd.exec('curl -sS -w "\\n%{http_code}" -H "Authorization: Bearer $LLM" "${LLM_URL%/}/inside?q=2"');
  const [told, code] = (await inside.stdout()).split('\n');
  assert.equal(code, '200', await inside.stderr());
  assert.equal(JSON.parse(told).url, '/base/inside?q=2');
  assert.equal(JSON.parse(told).headers['x-api-key'], 'the real secret');
  const denied = await fetch(url, { headers: { Authorization: 'Bearer gws_wrong' } });
  assert.ok(denied.status >= 400 && denied.status < 500);

  const made = await client.api.devboxes.createGatewayToken(box.id, { gateway: config.id, secret: secret.name });
  assert.match(made.token, /^gws_/);
  assert.equal(made.devbox_id, box.id);
  assert.equal(made.gateway_config_id, config.id);
});

overBoth('an MCP server from its creation to its end', async (t, client) => {
  const name = unique('mcp');
  const config = await client.mcpConfig.create({ name, endpoint: 'https://example.com/mcp', allowed_tools: ['get_*', '*'] });
  const info = await config.getInfo();
  assert.match(info.id, /^mcp_/);
  assert.deepEqual(info.allowed_tools, ['get_*', '*']);
  assert.ok(info.auth_mechanism.type);
  assert.deepEqual((await config.update({ allowed_tools: ['list_*'] })).allowed_tools, ['list_*']);
  assert.ok((await client.mcpConfig.list({ name })).some((c) => c.id === config.id));
  await config.delete();
  await assert.rejects(config.getInfo(), { status: 404 });
});

test('a devbox is told of its MCP server', async (t) => {
  const client = sdk();
  const secret = await client.secret.create({ name: unique('key'), value: 'the real secret' });
  undo(t, () => secret.delete());
  const config = await client.mcpConfig.create({ name: unique('tools'), endpoint: `http://127.0.0.1:${upstream.address().port}/`, allowed_tools: ['*'] });
  undo(t, () => config.delete());
  const box = await devbox(t, client, { mcp: { TOOLS_TOKEN: { mcp_config: config.id, secret } } });
  const [url, token] = (await (await box.cmd.exec('echo "$RL_MCP_URL"; echo "$TOOLS_TOKEN"')).stdout()).split('\n');
  assert.match(url, /^https?:\/\/.*\/mcp$/);
  assert.ok(token.length > 10);
  const denied = await fetch(url, { method: 'POST', body: '{}' });
  assert.ok(denied.status >= 400 && denied.status < 500);
});
