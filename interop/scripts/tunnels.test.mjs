// Tunnels to the ports of devboxes, and news of their eviction.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { control, devbox, eventually, overBoth, sdk, shared, undo } from './support.mjs';

/** Asks a port of a devbox through its tunnel, as what is before the emulator would. */
function through(tunnel, port, path, headers = {}) {
  const { hostname, port: at } = new URL(shared.url);
  return new Promise((resolve, reject) => {
    const req = request({ hostname, port: at, path, headers: { Host: `${port}-${tunnel.tunnel_key}.tunnel.localhost:${at}`, ...headers } }, async (res) => {
      const chunks = [];
      for await (const chunk of res) chunks.push(chunk);
      resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks).toString() });
    });
    req.on('error', reject);
    req.end();
  });
}

const served = (r) => r.status === 200;

async function serve(box, port) {
  await box.cmd.exec(`mkdir -p site && echo from the devbox > site/index.html`);
  await box.cmd.execAsync(`cd site && exec python3 -m http.server ${port} --bind 0.0.0.0`);
}

overBoth('an open tunnel', async (t, client) => {
  const box = await devbox(t, client);
  assert.equal(await box.getTunnel(), null);
  await assert.rejects(box.getTunnelUrl(8080), /tunnel/);
  const tunnel = await box.net.enableTunnel({});
  assert.equal(tunnel.auth_mode, 'open');
  assert.equal(tunnel.auth_token ?? null, null);
  assert.equal(tunnel.http_keep_alive, true);
  assert.equal(tunnel.wake_on_http, false);
  assert.equal((await box.getInfo()).tunnel.tunnel_key, tunnel.tunnel_key);
  assert.equal(await box.getTunnelUrl(8080), `https://8080-${tunnel.tunnel_key}.tunnel.127.0.0.1`);
  await assert.rejects(box.net.enableTunnel({}), { status: 400 });

  await serve(box, 8080);
  const res = await eventually(() => through(tunnel, 8080, '/index.html'), served, 'the server');
  assert.equal(res.body, 'from the devbox\n');
  assert.equal((await through(tunnel, 8080, '/none')).status, 404);

  await box.net.removeTunnel();
  assert.equal(await box.getTunnel(), null);
  assert.notEqual((await through(tunnel, 8080, '/index.html')).status, 200);
});

test('an authenticated tunnel, made with the devbox', async (t) => {
  const box = await devbox(t, sdk(), { tunnel: { auth_mode: 'authenticated' } });
  const tunnel = await box.getTunnel();
  assert.equal(tunnel.auth_mode, 'authenticated');
  assert.ok(tunnel.auth_token.length >= 16);
  await serve(box, 9000);
  const auth = { Authorization: `Bearer ${tunnel.auth_token}` };
  await eventually(() => through(tunnel, 9000, '/index.html', auth), served, 'the server');
  assert.equal((await through(tunnel, 9000, '/index.html', { 'X-Runloop-Tunnel-Authorization': `Bearer ${tunnel.auth_token}` })).status, 200);
  for (const headers of [{}, { Authorization: 'Bearer wrong' }]) {
    const { status } = await through(tunnel, 9000, '/index.html', headers);
    assert.ok(status === 401 || status === 403, `status ${status}`);
  }
});

overBoth('news of an eviction', async (t, client) => {
  const box = await devbox(t, client);
  const told = new Promise((resolve) => box.onEvict(resolve));
  undo(t, () => box.cancelOnEvict());
  await control(shared, `/interop/evict/${box.id}`, {});
  await told;
  const stream = await client.api.devboxes.watchEvictions();
  for await (const e of stream) { // pending ones are told to those who come later
    if (e.devbox_id !== box.id) continue;
    assert.ok(e.eviction_deadline_ms > Date.now() - 1000);
    break;
  }
});
