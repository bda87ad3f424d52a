// The two transports of the SDK, lists page by page, and many requests at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api, ownEmulator, unique } from './support.mjs';

const emulator = await ownEmulator();

test('each transport speaks its protocol', async () => {
  for (const [http2, proto] of [[true, 'HTTP/2.0'], [false, 'HTTP/1.1'], [undefined, 'HTTP/2.0']]) {
    await api({ emulator, http2 }).accounts.me();
    assert.equal((await emulator.requests('accounts.me')).at(-1).proto, proto);
  }
});

for (const http2 of [true, false]) {
  const over = http2 ? 'HTTP/2' : 'HTTP/1.1';
  const client = api({ emulator, http2, maxRetries: 0 });

  test(`many requests at once, ${over}`, async () => {
    const names = Array.from({ length: 60 }, () => unique('axon'));
    const made = await Promise.all(names.map((name) => client.axons.create({ name })));
    assert.deepEqual(made.map((a) => a.name), names);
    assert.equal(new Set(made.map((a) => a.id)).size, names.length);
    await Promise.all(made.map((a) => client.axons.delete(a.id)));
  });

  test(`lists page by page, ${over}`, async () => {
    const made = [];
    for (let i = 0; i < 7; i++) made.unshift((await client.devboxes.create({ name: unique('page') })).id);
    const before = (await emulator.requests('devboxes.list')).length;
    const seen = [];
    for await (const d of client.devboxes.list({ limit: 3 })) seen.push(d.id);
    assert.deepEqual(seen.slice(0, 7), made, 'the newest first, none twice');
    assert.equal(new Set(seen).size, seen.length);
    const pages = (await emulator.requests('devboxes.list')).length - before;
    assert.equal(pages, Math.ceil(seen.length / 3));
    const first = await client.devboxes.list({ limit: 3 });
    assert.equal(first.devboxes.length, 3);
    assert.equal(first.has_more, true);
    assert.equal(first.total_count, seen.length);
    assert.equal((await client.devboxes.list({ limit: 3, include_total_count: false })).total_count ?? 0, 0);
    const next = await first.getNextPage();
    assert.deepEqual(next.devboxes.map((d) => d.id), made.slice(3, 6));
    for (const id of made) await client.devboxes.shutdown(id);
    const ended = [];
    for await (const d of client.devboxes.list({ status: 'shutdown', limit: 100 })) ended.push(d.id);
    assert.deepEqual(ended.slice(0, 7), made);
  });
}
