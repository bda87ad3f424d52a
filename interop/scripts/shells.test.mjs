// Named shells, which keep what was done in them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overBoth, sdk, sharedDevbox } from './support.mjs';

const box = sharedDevbox();

overBoth('a shell keeps its directory and variables', async (t, client, transport) => {
  const b = client.devbox.fromId((await box(client)).id);
  const shell = b.shell(`keep-${transport}`);
  await shell.exec('cd /tmp && export COLOUR=blue && plain=1');
  const res = await shell.exec('pwd; echo "$COLOUR $plain"; exit 3');
  assert.equal(await res.stdout(), '/tmp\nblue 1\n');
  assert.equal(res.exitCode, 3);
  assert.equal(res.result.shell_name, `keep-${transport}`);
});

test('shells do not know one another', async () => {
  const b = await box(sdk());
  const one = b.shell('one'), two = b.shell('two');
  await one.exec('cd /usr; export WHO=one');
  await two.exec('cd /etc; export WHO=two');
  assert.equal(await (await one.exec('pwd; echo $WHO')).stdout(), '/usr\none\n');
  assert.equal(await (await two.exec('pwd; echo $WHO')).stdout(), '/etc\ntwo\n');
  assert.equal(await (await b.cmd.exec('echo "[$WHO]"')).stdout(), '[]\n');
});

test('commands of a shell run one after the other', async () => {
  const b = await box(sdk());
  const shell = b.shell('queue');
  const first = await shell.execAsync('until [ -e release ]; do sleep 0.05; done; echo first >> order.txt');
  const second = await shell.execAsync('echo second >> order.txt');
  assert.equal((await second.getState()).status, 'queued');
  await b.cmd.exec('touch release');
  assert.equal((await second.result()).exitCode, 0);
  assert.equal((await first.result()).exitCode, 0);
  assert.equal(await (await b.cmd.exec('cat order.txt')).stdout(), 'first\nsecond\n');
});

test('a shell without a name has one of its own', async () => {
  const b = await box(sdk());
  const shell = b.shell();
  await shell.exec('cd /var');
  const out = [];
  const res = await shell.exec('pwd', { stdout: (text) => out.push(text) });
  assert.equal(out.join(''), '/var\n');
  assert.equal(res.exitCode, 0);
});
