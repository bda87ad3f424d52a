// Commands, their output, and what becomes of them.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { collect, lines, overBoth, sdk, sharedDevbox } from './support.mjs';

const box = sharedDevbox();

overBoth('exit status and both outputs', async (t, client) => {
  const b = client.devbox.fromId((await box(client)).id);
  const res = await b.cmd.exec('echo out; echo err >&2; exit 42');
  assert.equal(res.exitCode, 42);
  assert.equal(res.success, false);
  assert.equal(res.failed, true);
  assert.equal(await res.stdout(), 'out\n');
  assert.equal(await res.stderr(), 'err\n');
  assert.equal(res.result.status, 'completed');
  assert.equal(res.result.devbox_id, b.id);
});

test('what the shell says of commands that it cannot run', async () => {
  const b = await box(sdk());
  assert.equal((await b.cmd.exec('no-such-command')).exitCode, 127);
  assert.equal((await b.cmd.exec('/etc')).exitCode, 126);
  assert.equal((await b.cmd.exec('kill -9 $$')).exitCode, 137);
  const silent = await b.cmd.exec('true');
  assert.equal(silent.success, true);
  assert.equal(await silent.stdout(), '');
});

test('commands begin at home in a shell of their own', async () => {
  const b = await box(sdk());
  await b.cmd.exec('cd /tmp; export LEAK=1');
  assert.equal(await (await b.cmd.exec('pwd; echo "[$LEAK]"; echo {a,b}')).stdout(), '/home/user\n[]\na b\n');
});

overBoth('long output is cut to its last lines and read whole from the stream', async (t, client) => {
  const b = client.devbox.fromId((await box(client)).id);
  const res = await b.cmd.exec('seq 1 300; seq 1 30 >&2');
  assert.equal(res.result.stdout_truncated, true);
  assert.equal(res.result.stdout, lines(201, 300));
  assert.ok(!res.result.stderr_truncated);
  assert.equal(res.result.stderr, lines(1, 30));
  assert.equal(await res.stdout(), lines(1, 300));
  assert.equal(await res.stdout(3), '298\n299\n300');
  assert.equal(await res.stdout(250), lines(51, 300).trimEnd());
  assert.equal(await res.stderr(2), '29\n30');
});

test('as many lines as asked for', async () => {
  const client = sdk();
  const b = await box(client);
  const view = await client.api.devboxes.executeAndAwaitCompletion(b.id, { command: 'seq 1 300', last_n: '5' });
  assert.equal(view.stdout, lines(296, 300));
  assert.equal(view.stdout_truncated, true);
  const more = await client.api.devboxes.executions.retrieve(b.id, view.execution_id, { last_n: '1000' });
  assert.equal(more.stdout, lines(1, 300));
  assert.ok(!more.stdout_truncated);
});

overBoth('output arrives while the command runs', async (t, client) => {
  const b = client.devbox.fromId((await box(client)).id);
  const flag = `flag-${randomUUID()}`;
  const out = [], err = [], all = [];
  // The command waits for what is done when its first line has arrived.
  const res = await b.cmd.exec(`echo first; until [ -e ${flag} ]; do sleep 0.05; done; echo second; echo third >&2; exit 5`, {
    stdout: (text) => {
      out.push(text);
      if (text.includes('first')) void b.cmd.exec(`touch ${flag}`);
    },
    stderr: (text) => err.push(text),
    output: (text) => all.push(text),
  });
  assert.equal(res.exitCode, 5);
  assert.equal(out.join(''), 'first\nsecond\n');
  assert.ok(out.length >= 2);
  assert.equal(err.join(''), 'third\n');
  assert.equal(all.join('').length, 'first\nsecond\nthird\n'.length);
});

test('a stream goes on behind the offset that it is given', async () => {
  const client = sdk();
  const b = await box(client);
  const text = lines(1, 200) + 'äöü€😀\n';
  const res = await b.cmd.exec("seq 1 200; echo 'äöü€😀'");
  const stream = (offset) => client.api.devboxes.executions.streamStdoutUpdates(b.id, res.executionId, { offset });
  const chunks = await collect(await stream('0'));
  assert.equal(chunks.map((c) => c.output).join(''), text);
  const bytes = Buffer.from(text);
  assert.equal(chunks.at(-1).offset, bytes.length);
  for (const offset of [1, 100, bytes.length - 20, bytes.length]) {
    const rest = await collect(await stream(String(offset)));
    assert.equal(rest.map((c) => c.output).join(''), bytes.subarray(offset).toString(), `from ${offset}`);
  }
});

test('killing a command, and its children', async () => {
  const client = sdk();
  const b = await box(client);
  const execution = await b.cmd.execAsync('sleep 1000');
  assert.equal((await execution.getState()).status, 'running');
  await execution.kill();
  const res = await execution.result();
  assert.ok([137, 143].includes(res.exitCode), `exit status ${res.exitCode}`);
  await execution.kill(); // no error although it is over

  const marker = `${1000 + Math.floor(Math.random() * 100_000)}.5`;
  const parent = await b.cmd.execAsync(`sleep ${marker} & sleep ${marker} & echo up; wait`, {});
  await collect(await client.api.devboxes.executions.streamStdoutUpdates(b.id, parent.executionId, {}), 1);
  await client.api.devboxes.executions.kill(b.id, parent.executionId, { kill_process_group: true });
  await parent.result();
  const left = await b.cmd.exec(`cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '^sleep ${marker}\\|[ ]sleep ${marker}' || true`);
  assert.equal((await left.stdout()).trim(), '0');
});

test('input and the end of input', async () => {
  const client = sdk();
  const b = await box(client);
  const execution = await b.cmd.execAsync('cat; echo end', { attach_stdin: true });
  const { executions } = client.api.devboxes; // which takes a lone signal for an AbortSignal of the request: hence the text
  assert.equal((await executions.sendStdIn(b.id, execution.executionId, { text: 'one\n' })).success, true);
  assert.equal((await executions.sendStdIn(b.id, execution.executionId, { text: 'zwei €\n' })).success, true);
  assert.equal((await executions.sendStdIn(b.id, execution.executionId, { text: '', signal: 'EOF' })).success, true);
  const res = await execution.result();
  assert.equal(await res.stdout(), 'one\nzwei €\nend\n');
  assert.equal(res.exitCode, 0);
});

test('an interrupt', async () => {
  const client = sdk();
  const b = await box(client);
  const execution = await b.cmd.execAsync("trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done", { attach_stdin: true });
  await collect(await client.api.devboxes.executions.streamStdoutUpdates(b.id, execution.executionId, {}), 1);
  await client.api.devboxes.executions.sendStdIn(b.id, execution.executionId, { text: '', signal: 'INTERRUPT' });
  const res = await execution.result();
  assert.equal(res.exitCode, 9);
  assert.equal(await res.stdout(), 'ready\ncaught\n');
});

test('one identifier is one command', async () => {
  const client = sdk();
  const b = await box(client);
  const params = { command: 'echo x >> once.txt', command_id: randomUUID() };
  const first = await client.api.devboxes.execute(b.id, params);
  const second = await client.api.devboxes.execute(b.id, params);
  assert.equal(second.execution_id, first.execution_id);
  assert.equal(await (await b.cmd.exec('cat once.txt')).stdout(), 'x\n');
});

test('a command that outlives the first answer', async () => {
  const client = sdk();
  const b = await box(client);
  const running = await client.api.devboxes.execute(b.id, { command: 'sleep 2; echo late', command_id: randomUUID(), optimistic_timeout: 1 });
  assert.equal(running.status, 'running');
  assert.equal(running.exit_status ?? null, null);
  const done = await client.api.devboxes.executions.awaitCompleted(b.id, running.execution_id);
  assert.equal(done.stdout, 'late\n');
  assert.equal(done.exit_status, 0);
  const slow = client.api.devboxes.executeAndAwaitCompletion(b.id, { command: 'sleep 3', optimistic_timeout: 1 }, { longPoll: { timeoutMs: 1500 } });
  await assert.rejects(slow, { name: 'PollingTimeoutError' });
});

test('the old synchronous call', async () => {
  const client = sdk();
  const b = await box(client);
  const view = await client.api.devboxes.executeSync(b.id, { command: 'echo sync; exit 4' });
  assert.equal(view.stdout, 'sync\n');
  assert.equal(view.exit_status, 4);
  assert.equal(view.devbox_id, b.id);
});
