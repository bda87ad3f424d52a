// Blueprints: what devboxes are made from. The local provider calls this machine's
// programs "host"; what else FROM can name is not there without a network.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { overBoth, sdk, undo, unique } from './support.mjs';

overBoth('a blueprint from a Dockerfile and its context', async (t, client, transport) => {
  const dir = await mkdtemp(join(tmpdir(), 'interop-'));
  undo(t, () => rm(dir, { recursive: true }));
  await mkdir(join(dir, 'sub'));
  await writeFile(join(dir, 'hello.txt'), `hello ${transport}\n`);
  await writeFile(join(dir, 'sub', 'bytes.bin'), Buffer.from([0, 255, 10, 13]));
  await writeFile(join(dir, 'sub', 'secret.key'), 'not for the build');
  await writeFile(join(dir, '.dockerignore'), '**/*.key\n');
  const name = unique('docker');
  const blueprint = await client.blueprint.create({
    name,
    dockerfile: [
      'FROM host', 'ARG COLOUR=none', 'ENV BUILT_IN=yes', 'COPY hello.txt /opt/hello.txt', 'COPY sub /opt/sub',
      'RUN echo "$COLOUR" > /opt/colour.txt && ls /opt/sub > /opt/listing.txt', '',
    ].join('\n'),
    build_args: { COLOUR: 'blue' },
    build_context_dir: dir,
    metadata: { transport },
    launch_parameters: { keep_alive_time_seconds: 900 },
  });
  undo(t, () => blueprint.delete());
  const info = await blueprint.getInfo();
  assert.match(info.id, /^bpt_/);
  assert.equal(info.status, 'build_complete');
  assert.equal(info.state, 'created');
  assert.equal(info.name, name);
  assert.deepEqual(info.metadata, { transport });
  assert.deepEqual(info.parameters.build_args, { COLOUR: 'blue' });
  assert.equal(info.parameters.build_context.type, 'object');
  assert.ok(info.build_finish_time_ms >= info.create_time_ms);
  assert.ok((await blueprint.logs()).logs.some((l) => l.message.includes('/opt/hello.txt')));

  const box = await blueprint.createDevbox({ name: unique('box') });
  undo(t, () => box.shutdown());
  const view = await box.getInfo();
  assert.equal(view.blueprint_id, blueprint.id);
  assert.equal(view.launch_parameters.keep_alive_time_seconds, 900, 'inherited');
  const res = await box.cmd.exec('cat /opt/hello.txt /opt/colour.txt /opt/listing.txt; od -An -tx1 /opt/sub/bytes.bin; echo $BUILT_IN');
  assert.equal(await res.stdout(), `hello ${transport}\nblue\nbytes.bin\n 00 ff 0a 0d\nyes\n`);

  await blueprint.delete();
  assert.equal((await blueprint.getInfo()).state, 'deleted');
  await blueprint.delete(); // once more is no error
});

test('setup commands, files, and a blueprint on a blueprint', async (t) => {
  const client = sdk();
  const name = unique('base');
  const base = await client.blueprint.create({
    name, system_setup_commands: ['echo base > /opt/base.txt', 'cat /opt/mounted.txt >> /opt/base.txt'],
    file_mounts: { '/opt/mounted.txt': 'mounted\n' },
  });
  undo(t, () => base.delete());
  const upper = await client.blueprint.create({
    name: unique('upper'), base_blueprint_name: name, system_setup_commands: ['echo upper >> /opt/base.txt'],
    launch_parameters: { launch_commands: ['echo launched >> /opt/base.txt'] },
  });
  undo(t, () => upper.delete());
  assert.equal((await upper.getInfo()).base_blueprint_id, base.id);
  const box = await client.devbox.createFromBlueprintId(upper.id, { name: unique('box') });
  undo(t, () => box.shutdown());
  assert.equal(await (await box.cmd.exec('cat /opt/base.txt')).stdout(), 'base\nmounted\nupper\nlaunched\n');
  const byName = await client.devbox.createFromBlueprintName(name, { name: unique('box') });
  undo(t, () => byName.shutdown());
  assert.equal((await byName.getInfo()).blueprint_id, base.id);
  assert.equal(await (await byName.cmd.exec('cat /opt/base.txt')).stdout(), 'base\nmounted\n');
});

test('secrets of a build are there for its commands, and not in what is built', async (t) => {
  const client = sdk();
  const secret = await client.secret.create({ name: unique('secret').replaceAll('.', '-'), value: 'hidden-4711' });
  undo(t, () => secret.delete());
  const blueprint = await client.blueprint.create({
    name: unique('secrets'), secrets: { TOKEN: secret.name },
    dockerfile: [
      'FROM host', 'ARG TOKEN', 'RUN test "$TOKEN" = hidden-4711',
      'RUN --mount=type=secret,id=TOKEN test "$(cat /run/secrets/TOKEN)" = hidden-4711 && touch /opt/seen', '',
    ].join('\n'),
  });
  undo(t, () => blueprint.delete());
  assert.deepEqual((await blueprint.getInfo()).parameters.secrets, { TOKEN: secret.name });
  const box = await blueprint.createDevbox({ name: unique('box') });
  undo(t, () => box.shutdown());
  assert.equal(await (await box.cmd.exec('ls /opt/seen; echo "[$TOKEN]"; cat /run/secrets/TOKEN 2>/dev/null')).stdout(), '/opt/seen\n[]\n');
  await assert.rejects(client.api.blueprints.create({ name: unique('none'), dockerfile: 'FROM host\n', secrets: { TOKEN: 'there-is-none' } }), { status: 400 });
});

test('a build that fails', async (t) => {
  const client = sdk();
  const name = unique('broken');
  const { id } = await client.api.blueprints.create({ name, system_setup_commands: ['echo about to fail; exit 7'] });
  undo(t, () => client.api.blueprints.delete(id));
  await assert.rejects(client.api.blueprints.awaitBuildComplete(id), /failed/);
  const info = await client.api.blueprints.retrieve(id);
  assert.equal(info.status, 'failed');
  assert.equal(info.failure_reason, 'build_failed');
  const { logs } = await client.api.blueprints.logs(id);
  assert.ok(logs.some((l) => l.message.includes('about to fail')));
  await assert.rejects(client.api.devboxes.create({ blueprint_id: id }), (err) => err.status >= 400 && err.status < 500);
});

test('blueprints are listed by name, and previewed', async (t) => {
  const client = sdk();
  const name = unique('listed');
  const blueprint = await client.blueprint.create({ name, system_setup_commands: ['true'] });
  undo(t, () => blueprint.delete());
  const found = await client.blueprint.list({ name });
  assert.deepEqual(found.map((b) => b.id), [blueprint.id]);
  const { dockerfile } = await client.api.blueprints.preview({ name, dockerfile: 'FROM scratch\n', system_setup_commands: ['echo previewed'] });
  assert.match(dockerfile, /^FROM scratch$/m);
  assert.match(dockerfile, /echo previewed/);
  for await (const b of client.api.blueprints.listPublic()) assert.equal(b.is_public, true);
});
