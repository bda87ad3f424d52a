// Terminals: the SDK opens sessions, a WebSocket attaches to them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { api, overBoth, sdk, shared, sharedDevbox, undo, unique } from './support.mjs';

const box = sharedDevbox();

/** Attaches to a session, and collects what it prints. */
async function attach(t, url, token) {
  const ws = new WebSocket(new URL(url, shared.url).href.replace(/^http/, 'ws'), [token]);
  undo(t, () => ws.terminate());
  const term = { ws, text: '', closed: new Promise((resolve) => ws.on('close', resolve)) };
  let wake = () => {};
  ws.on('message', (data) => { term.text += data.toString(); wake(); });
  await new Promise((resolve, reject) => { ws.on('open', resolve); ws.on('error', reject); });
  term.type = (text) => ws.send(Buffer.from(text));
  term.until = async (pattern) => {
    const deadline = AbortSignal.timeout(10_000);
    while (!pattern.test(term.text)) {
      if (deadline.aborted) throw new Error(`no ${pattern} in ${JSON.stringify(term.text)}`);
      await new Promise((resolve) => { wake = resolve; setTimeout(resolve, 1000); });
    }
  };
  return term;
}

overBoth('a session, its size, and its end', async (t, client, transport) => {
  const b = client.devbox.fromId((await box(client)).id);
  const { tunnel_key: key, auth_token: token } = await client.api.devboxes.createPtyTunnel(b.id);
  assert.ok(key.length >= 16);
  const pty = api({ bearerToken: token, http2: transport === 'h2' }).pty;
  const name = unique('term').replaceAll('.', '_');
  const session = await pty.connect(name, { cols: 100, rows: 30 });
  assert.equal(session.session_name, name);
  assert.equal(session.created, true);
  assert.equal(session.attached, false);
  assert.deepEqual([session.cols, session.rows], [100, 30]);
  assert.match(session.connect_url, /\/attach$/);

  const term = await attach(t, session.connect_url, token);
  term.type('stty size; tty; echo $((6*7))é\r');
  await term.until(/30 100[^]*\/dev\/pts\/[^]*42é/);
  const again = await pty.connect(name);
  assert.equal(again.created, false);
  assert.equal(again.attached, true);
  await pty.control(name, { action: 'resize', cols: 132, rows: 43 });
  term.type('stty size\r');
  await term.until(/43 132/);
  term.type('exit\r');
  assert.equal(await term.closed, 4000);
});

test('a session stays when nobody is attached, until it is closed', async (t) => {
  const client = sdk();
  const b = await box(client);
  const { auth_token: token } = await client.api.devboxes.createPtyTunnel(b.id);
  const { pty } = api({ bearerToken: token });
  const name = unique('stay');
  const { connect_url: url } = await pty.connect(name);
  const first = await attach(t, url, token);
  first.type('KEPT=yes\r');
  first.ws.close();
  await first.closed;
  const second = await attach(t, url, token);
  second.type('echo "[$KEPT]"\r');
  await second.until(/\[yes\]/);
  assert.equal((await pty.control(name, { action: 'close' })).session_name, name);
  await second.closed;
});

test('who may not', async () => {
  const client = sdk();
  const b = await box(client);
  await assert.rejects(api({ bearerToken: 'wrong' }).pty.connect('x'), { status: 401 });
  const { auth_token: token } = await client.api.devboxes.createPtyTunnel(b.id);
  await assert.rejects(api({ bearerToken: token }).pty.connect('bad name'), { status: 400 });
  await assert.rejects(api({ bearerToken: token }).pty.control('nobody', { action: 'close' }), { status: 404 });
});
