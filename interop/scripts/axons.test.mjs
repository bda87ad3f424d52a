// Axons: streams of events, and their SQL store.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, overBoth, sdk, undo, unique } from './support.mjs';

const event = (n) => ({ source: 'interop', event_type: 'count', origin: 'EXTERNAL_EVENT', payload: JSON.stringify({ n }) });

overBoth('events are replayed, and then come as they are published', async (t, client) => {
  const name = unique('axon');
  const axon = await client.axon.create({ name });
  undo(t, () => client.api.axons.delete(axon.id));
  const info = await axon.getInfo();
  assert.match(info.id, /^axn_/);
  assert.equal(info.name, name);
  for (let n = 1; n <= 3; n++) assert.equal((await axon.publish(event(n))).sequence, n);

  const seen = [];
  const stream = await axon.subscribeSse();
  for await (const e of stream) {
    seen.push(e);
    if (seen.length === 3) await axon.publish(event(4)); // live, with the stream open
    if (seen.length === 4) break;
  }
  assert.deepEqual(seen.map((e) => e.sequence), [1, 2, 3, 4]);
  assert.deepEqual(seen.map((e) => JSON.parse(e.payload).n), [1, 2, 3, 4]);
  assert.ok(seen.every((e) => e.axon_id === axon.id && e.origin === 'EXTERNAL_EVENT' && e.source === 'interop' && e.event_type === 'count'));

  const rest = await collect(await axon.subscribeSse({ after_sequence: 2 }), 2);
  assert.deepEqual(rest.map((e) => e.sequence), [3, 4]);
  const { events } = await client.api.axons.events.list(axon.id, { limit: 10 });
  assert.deepEqual(events.map((e) => e.sequence).sort(), [1, 2, 3, 4]);
  assert.ok((await client.axon.list({ name })).some((a) => a.id === axon.id));
});

test('metadata', async (t) => {
  const client = sdk();
  const axon = await client.axon.create({ name: unique('meta'), metadata: { a: '1' } });
  undo(t, () => client.api.axons.delete(axon.id));
  assert.deepEqual((await axon.getInfo()).metadata, { a: '1' });
  const updated = await client.api.axons.update(axon.id, { metadata: { b: '2' } });
  assert.equal(updated.metadata.b, '2');
});

overBoth('an SQL store', async (t, client) => {
  const axon = await client.axon.create({ name: unique('sql') });
  undo(t, () => client.api.axons.delete(axon.id));
  await axon.sql.query({ sql: 'CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, height REAL)' });
  const inserted = await axon.sql.query({ sql: 'INSERT INTO people (name, height) VALUES (?, ?), (?, ?)', params: ['Ada', 1.65, 'Grüße 😀', null] });
  assert.equal(inserted.meta.changes, 2);
  const found = await axon.sql.query({ sql: 'SELECT id, name, height FROM people ORDER BY id' });
  assert.deepEqual(found.columns.map((c) => c.name), ['id', 'name', 'height']);
  assert.deepEqual(found.rows, [[1, 'Ada', 1.65], [2, 'Grüße 😀', null]]);
  assert.equal(found.meta.rows_read_limit_reached, false);
  const one = await axon.sql.query({ sql: 'SELECT name FROM people WHERE height > ?', params: [1.5] });
  assert.deepEqual(one.rows, [['Ada']]);

  const { results } = await axon.sql.batch({ statements: [
    { sql: 'INSERT INTO people (name) VALUES (?)', params: ['third'] },
    { sql: 'SELECT count(*) FROM people' },
  ] });
  assert.equal(results.length, 2);
  assert.deepEqual(results[1].success.rows, [[3]]);
  await assert.rejects(axon.sql.query({ sql: 'SELEC nonsense' }), (err) => err.status >= 400 && err.status < 500);
  const failed = await axon.sql.batch({ statements: [
    { sql: "INSERT INTO people (name) VALUES ('lost')" }, { sql: 'INSERT INTO nowhere VALUES (1)' },
  ] });
  assert.ok(failed.results.some((r) => r.error?.message));
  assert.deepEqual((await axon.sql.query({ sql: 'SELECT count(*) FROM people' })).rows, [[3]], 'a batch is one transaction');
});

test('one store does not see another', async (t) => {
  const client = sdk();
  const [a, b] = [await client.axon.create({}), await client.axon.create({})];
  undo(t, () => Promise.all([client.api.axons.delete(a.id), client.api.axons.delete(b.id)]));
  await a.sql.query({ sql: 'CREATE TABLE mine (x)' });
  await assert.rejects(b.sql.query({ sql: 'SELECT * FROM mine' }), { status: 400 });
});
