// The browser client that ComputeSDK had, at this library's own handler: its functions in
// Node and, where COMPUTE_BROWSER names a Chromium, in a browser.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';

const { INTEROP_UI: dir, INTEROP_HANDLER: program, INTEROP_MISBEHAVE: misbehave, COMPUTE_BROWSER: browser } = process.env;

/** EventSource, as far as the client uses it, for Node. */
class Events {
  #ended = new AbortController();

  constructor(url) { this.#read(url); }

  async #read(url) {
    try {
      const res = await fetch(url, { headers: { Accept: 'text/event-stream' }, signal: this.#ended.signal });
      if (!res.ok || res.headers.get('content-type') !== 'text/event-stream') throw new Error(`status ${res.status}`);
      let rest = '';
      for await (const chunk of res.body.pipeThrough(new TextDecoderStream())) {
        const events = (rest + chunk).split('\n\n');
        rest = events.pop();
        for (const event of events) {
          const data = event.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
          if (data) this.onmessage?.({ data });
        }
      }
      throw new Error('the end');
    } catch (e) {
      if (!this.#ended.signal.aborted) this.onerror?.(e);
    }
  }

  close() { this.#ended.abort(); }
}

async function start() {
  const child = spawn(program, ['-dir', dir, ...(misbehave ? ['-misbehave'] : [])], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  after(async () => {
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  });
  for await (const line of createInterface(child.stdout)) return JSON.parse(line);
  throw new Error('the handler did not start');
}

if (!dir) {
  test('the browser client', { skip: 'COMPUTE_COMPUTESDK names no clone of its repository' });
} else {
  const [url, other] = await start();
  // The page that the client thinks it is on.
  const inner = globalThis.fetch;
  globalThis.fetch = (to, { headers, ...init } = {}) => inner(new URL(to, url), { ...init, headers: { ...headers, Cookie: 'session=somebody' } });
  globalThis.EventSource = Events;
  const [{ checks }, D, E] = await Promise.all(['checks.mjs', 'D.mjs', 'E.mjs'].map((f) => import(pathToFileURL(join(dir, f)))));
  for (const [name, check] of Object.entries(checks(D, E))) test(name, check);

  test('without the cookie', async () => {
    const res = await inner(`${url}/api/compute`, { method: 'POST', body: '{"action":"compute.sandbox.list"}' });
    assert.equal(res.status, 401);
  });

  test('in a browser', { skip: browser ? false : 'COMPUTE_BROWSER names no Chromium' }, async (t) => {
    const profile = await mkdtemp(join(tmpdir(), 'interop-browser-'));
    const page = `${url}/?other=${encodeURIComponent(other)}`;
    const child = spawn(browser, ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      `--user-data-dir=${profile}`, '--remote-debugging-port=0', page], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    t.after(async () => {
      child.kill('SIGKILL');
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    });
    const report = await (await inner(`${url}/report`)).json();
    assert.deepEqual(report, Object.fromEntries([...Object.keys(checks(D, E)), 'a page of another origin'].map((name) => [name, ''])));
    const { sandboxes } = await (await fetch('/api/compute', { method: 'POST', body: '{"action":"compute.sandbox.list"}' })).json();
    assert.deepEqual(sandboxes, [], 'a page of another origin has made a sandbox');
  });
}
