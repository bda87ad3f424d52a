// What the scripts share: clients of the emulator that run.sh has started, and
// emulators of their own for those that make requests fail.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { Runloop, RunloopSDK } from '@runloop/api-client';

// The name of the script, sent with every request so that the emulator knows
// whom to misbehave to.
export const script = basename(process.argv[1], '.test.mjs');
export const headers = { 'X-Interop-Script': script };

export const shared = {
  url: required('RUNLOOP_BASE_URL'),
  apiKey: required('RUNLOOP_API_KEY'),
};

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start the scripts with run.sh`);
  return value;
}

function options(overrides) {
  const { emulator = shared, ...rest } = overrides;
  return {
    baseURL: emulator.url, bearerToken: emulator.apiKey, defaultHeaders: headers,
    timeout: 20_000, maxRetries: 2, ...rest,
  };
}

/** A client of the API as it is. */
export const api = (overrides = {}) => new Runloop(options(overrides));

/** A client with objects. */
export const sdk = (overrides = {}) => new RunloopSDK(options(overrides));

/** Registers a test once for each of the SDK's transports. */
export function overBoth(name, body) {
  test(`${name}, HTTP/2`, (t) => body(t, sdk({ http2: true }), 'h2'));
  test(`${name}, HTTP/1.1`, (t) => body(t, sdk({ http2: false }), 'h1'));
}

let counter = 0;

/** A name that no other script or test has. */
export const unique = (what) => `${script}-${what}-${process.pid}-${++counter}`;

const undoes = new WeakMap();

/** Has something undone when the test ends, what was done last first. */
export function undo(t, f) {
  let list = undoes.get(t);
  if (!list) {
    undoes.set(t, list = []);
    t.after(async () => { while (list.length) await list.pop()(); });
  }
  list.push(f);
}

/** A devbox that ends with the test. */
export async function devbox(t, client, params = {}) {
  const box = await client.devbox.create({ name: unique('box'), ...params });
  undo(t, () => box.shutdown());
  return box;
}

/** One devbox for all tests of a script, made when the first one asks for it. */
export function sharedDevbox(params = {}) {
  let box;
  after(async () => { if (box) await (await box).shutdown(); });
  return (client) => (box ??= client.devbox.create({ name: unique('box'), ...params }));
}

/** The lines of `seq from to`, each with its newline. */
export const lines = (from, to) => {
  let text = '';
  for (let i = from; i <= to; i++) text += `${i}\n`;
  return text;
};

/** Collects a stream, at most `limit` values of it. */
export async function collect(stream, limit = Infinity) {
  const all = [];
  for await (const value of stream) {
    all.push(value);
    if (all.length >= limit) break;
  }
  return all;
}

/** Asks until `done` likes the answer, for what happens in its own time. */
export async function eventually(ask, done, what) {
  let last;
  for (let i = 0; i < 100; i++) {
    last = await ask();
    if (done(last)) return last;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what}: still ${JSON.stringify(last)}`);
}

/** Calls an operation of the emulator that is for scripts. */
export async function control(emulator, path, body) {
  const res = await fetch(emulator.url + path, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) });
  if (!res.ok) throw new Error(`${path}: ${res.status} ${await res.text()}`);
  return res.json();
}

/** An emulator for this script alone, which ends with it. */
export async function ownEmulator() {
  const args = ['-provider', 'stub'];
  if (process.env.INTEROP_MISBEHAVE) args.push('-misbehave');
  const child = spawn(required('INTEROP_EMULATOR'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGTERM');
    const [code] = await ended;
    if (code !== 0) throw new Error(`the emulator ended with exit status ${code}`);
  };
  after(stop);
  for await (const line of createInterface(child.stdout)) {
    const { url, api_key: apiKey } = JSON.parse(line);
    return {
      url, apiKey,
      inject: (fault) => control({ url }, '/interop/faults', fault),
      requests: (op = '') => control({ url }, `/interop/requests?op=${op}`),
    };
  }
  throw new Error('the emulator did not start');
}
