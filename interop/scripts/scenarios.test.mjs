// Scenarios, their runs and scores.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { overBoth, sdk, undo, unique } from './support.mjs';

overBoth('a run whose score is the weighted sum of its scorers', async (t, client, transport) => {
  const name = unique('scenario');
  const scenario = await client.scenario.builder(name)
    .withProblemStatement('Write "done" to answer.txt.')
    .withAdditionalContext({ hint: transport })
    .withWorkingDirectory('/home/user')
    .withMetadata({ transport })
    .addShellCommandScorer('command', { command: 'grep -q done answer.txt', weight: 5 })
    .addBashScriptScorer('script', { bash_script: 'echo looking; if [ "$(cat answer.txt)" = done ]; then echo 0.5; else echo 0.0; fi', weight: 2 })
    .addTestCommandScorer('tests', {
      test_command: 'sh check.sh', test_files: [{ file_path: 'check.sh', file_contents: 'test -e never.txt\n' }], weight: 1,
    })
    .addPythonScriptScorer('python', { python_script: 'print("0.25")', weight: 2 })
    .push();
  const info = await scenario.getInfo();
  assert.match(info.id, /^scn_/);
  assert.equal(info.status, 'active');
  assert.equal(info.input_context.problem_statement, 'Write "done" to answer.txt.');
  assert.deepEqual(info.input_context.additional_context, { hint: transport });
  const weights = info.scoring_contract.scoring_function_parameters.map((p) => p.weight);
  assert.deepEqual(weights, [0.5, 0.2, 0.1, 0.2]);

  const run = await scenario.run({ run_name: unique('run') });
  undo(t, () => run.devbox.shutdown());
  assert.match(run.id, /^scr_/);
  let view = await run.getInfo();
  assert.equal(view.state, 'running');
  assert.equal(view.scenario_id, scenario.id);
  assert.equal(view.devbox_id, run.devbox.id);
  assert.equal(await run.getScore(), null);
  await run.devbox.cmd.exec('printf done > answer.txt');
  view = await run.scoreAndAwait();
  assert.equal(view.state, 'scored');
  const score = await run.getScore();
  const of = Object.fromEntries(score.scoring_function_results.map((r) => [r.scoring_function_name, r]));
  assert.equal(of.command.score, 1);
  assert.equal(of.script.score, 0.5);
  assert.match(of.script.output, /looking/);
  assert.equal(of.tests.score, 0);
  assert.equal(of.python.score, 0.25);
  assert.ok(score.scoring_function_results.every((r) => r.state === 'complete'));
  assert.ok(Math.abs(score.score - (0.5 + 0.1 + 0 + 0.05)) < 1e-9, `score ${score.score}`);

  const dir = await mkdtemp(join(tmpdir(), 'interop-'));
  undo(t, () => rm(dir, { recursive: true }));
  await run.downloadLogs(join(dir, 'logs.zip'));
  const zip = await readFile(join(dir, 'logs.zip'));
  assert.equal(zip.subarray(0, 4).toString('latin1'), 'PK\x03\x04');

  view = await run.complete();
  assert.equal(view.state, 'completed');
  assert.equal((await run.devbox.getInfo()).status, 'shutdown');
});

test('a scorer of our own', async () => {
  const client = sdk();
  const type = unique('scorer');
  const scorer = await client.scorer.create({
    type, bash_script: 'echo "$RL_SCORER_CONTEXT" | grep -q \'"want"\' && echo 0.75 || echo 0',
  });
  const view = await scorer.getInfo();
  assert.match(view.id, /^scs_/);
  assert.equal(view.type, type);
  await assert.rejects(client.scorer.create({ type, bash_script: 'echo 1' }), { status: 400 });
  const scenario = await client.scenario.builder(unique('custom')).withProblemStatement('Nothing.')
    .addCustomScorer('own', { custom_scorer_type: type, scorer_params: { want: 'this' } }).push();
  const run = await scenario.run();
  const done = await run.scoreAndComplete();
  assert.equal(done.state, 'completed');
  assert.equal(done.scoring_contract_result.score, 0.75);
  const updated = await scorer.update({ type, bash_script: 'echo 1' });
  assert.equal(updated.bash_script, 'echo 1');
});

test('a run that is given up', async () => {
  const client = sdk();
  const scenario = await client.scenario.builder(unique('cancel')).withProblemStatement('Nothing.').addShellCommandScorer('s', { command: 'true' }).push();
  const run = await scenario.runAsync({ runProfile: { envVars: { FROM_PROFILE: 'yes' } } });
  await run.awaitEnvReady();
  assert.equal(await (await run.devbox.cmd.exec('echo $FROM_PROFILE')).stdout(), 'yes\n');
  assert.equal((await run.cancel()).state, 'canceled');
  assert.equal((await run.devbox.getInfo()).status, 'shutdown');
  await assert.rejects(run.score({ maxRetries: 0 }), (err) => err.status >= 400 && err.status < 500);
});

test('scenarios change, are listed and archived', async () => {
  const client = sdk();
  const name = unique('listed');
  const scenario = await client.scenario.builder(name).withProblemStatement('Before.').addShellCommandScorer('s', { command: 'true' }).push();
  const view = await scenario.update({ input_context: { problem_statement: 'After.' }, metadata: { k: 'v' } });
  assert.equal(view.input_context.problem_statement, 'After.');
  assert.deepEqual(view.metadata, { k: 'v' });
  assert.equal(view.name, name);
  assert.deepEqual((await client.scenario.list({ name })).map((s) => s.id), [scenario.id]);
  assert.equal((await client.api.scenarios.archive(scenario.id)).status, 'archived');
  assert.throws(() => client.scenario.builder('x').addShellCommandScorer('s', { command: 'true' }).build(), /Problem statement/);
});
