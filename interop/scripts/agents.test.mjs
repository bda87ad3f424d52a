// Agents.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { devbox, overBoth, sdk, undo, unique } from './support.mjs';

overBoth('an agent from its creation to its end', async (t, client) => {
  const name = unique('agent');
  const agent = await client.agent.createFromNpm({ name, version: '1.2.3', package_name: 'some-package', agent_setup: ['true'] });
  const info = await agent.getInfo();
  assert.match(info.id, /^agt_/);
  assert.equal(info.name, name);
  assert.equal(info.version, '1.2.3');
  assert.equal(info.is_public, false);
  assert.equal(info.source.type, 'npm');
  assert.equal(info.source.npm.package_name, 'some-package');
  assert.deepEqual((await client.agent.list({ name })).map((a) => a.id), [agent.id]);
  await agent.delete();
  assert.deepEqual(await client.agent.list({ name }), []);
});

test('sources', async (t) => {
  const client = sdk();
  const pip = await client.agent.createFromPip({ name: unique('pip'), version: '1.0.0', package_name: 'p' });
  const git = await client.agent.createFromGit({ name: unique('git'), version: '1.0.0', repository: 'https://example.com/r.git', ref: 'main' });
  undo(t, () => Promise.all([pip.delete(), git.delete()]));
  assert.equal((await pip.getInfo()).source.pip.package_name, 'p');
  assert.deepEqual((await git.getInfo()).source.git.ref, 'main');
  const { counts, total_count: total } = await client.agent.getDevboxCounts();
  assert.equal(typeof counts, 'object');
  assert.ok(Number.isInteger(total));
  for (const a of await client.agent.listPublic()) assert.equal((await a.getInfo()).is_public, true);
});

test('an agent from an object runs in a devbox', async (t) => {
  const client = sdk();
  const dir = await mkdtemp(join(tmpdir(), 'interop-'));
  undo(t, () => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'agent.sh'), 'echo I am an agent\n');
  const object = await client.storageObject.uploadFromDir(dir, { name: unique('code') });
  undo(t, () => object.delete());
  const agent = await client.agent.createFromObject({ name: unique('object'), version: '1.0.0', object_id: object.id, agent_setup: ['echo set up > setup.txt'] });
  undo(t, () => agent.delete());
  const box = await devbox(t, client, { mounts: [{ type: 'agent_mount', agent_id: agent.id, agent_name: null, agent_path: '/home/user/agent' }] });
  assert.equal(await (await box.cmd.exec('sh agent/agent.sh')).stdout(), 'I am an agent\n');
});
