// Benchmarks, their runs, and jobs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api, overBoth, sdk, unique } from './support.mjs';

const scenario = (client, command) => client.scenario.builder(unique('scenario'))
  .withProblemStatement('Nothing.').addShellCommandScorer('s', { command }).push();

overBoth('a run whose score is the mean of its scenarios', async (t, client) => {
  const good = await scenario(client, 'true'), bad = await scenario(client, 'false');
  const name = unique('benchmark');
  const benchmark = await client.api.benchmarks.create({ name, scenario_ids: [good.id, bad.id], required_secret_names: [], metadata: { m: '1' } });
  assert.match(benchmark.id, /^bmd_/);
  assert.deepEqual(benchmark.scenarioIds, [good.id, bad.id]);
  const { scenarios } = await client.api.benchmarks.definitions(benchmark.id);
  assert.deepEqual(scenarios.map((s) => s.id).sort(), [good.id, bad.id].sort());

  const run = await client.api.benchmarks.startRun({ benchmark_id: benchmark.id, run_name: unique('run') });
  assert.match(run.id, /^bmr_/);
  assert.equal(run.state, 'running');
  assert.equal(run.benchmark_id, benchmark.id);
  for (const s of [good, bad]) {
    const r = await s.run({ benchmark_run_id: run.id });
    assert.equal((await r.getInfo()).benchmark_run_id, run.id);
    await r.scoreAndComplete();
  }
  const joined = [];
  for await (const r of client.api.benchmarkRuns.listScenarioRuns(run.id)) joined.push(r);
  assert.deepEqual(joined.map((r) => r.scenario_id).sort(), [good.id, bad.id].sort());
  assert.deepEqual(joined.map((r) => r.scoring_contract_result.score).sort(), [0, 1]);
  const done = await client.api.benchmarkRuns.complete(run.id);
  assert.equal(done.state, 'completed');
  assert.equal(done.score, 0.5);
  assert.ok(done.duration_ms >= 0);
  assert.equal((await client.api.benchmarkRuns.retrieve(run.id)).score, 0.5);
});

test('scenarios come and go', async () => {
  const client = sdk();
  const a = await scenario(client, 'true'), b = await scenario(client, 'true');
  const benchmark = await client.api.benchmarks.create({ name: unique('benchmark'), scenario_ids: [a.id], required_secret_names: [] });
  const changed = await client.api.benchmarks.updateScenarios(benchmark.id, { scenarios_to_add: [b.id], scenarios_to_remove: [a.id] });
  assert.deepEqual(changed.scenarioIds, [b.id]);
  const updated = await client.api.benchmarks.update(benchmark.id, { description: 'described' });
  assert.equal(updated.description, 'described');
  assert.deepEqual(updated.scenarioIds, [b.id]);
  await assert.rejects(client.api.benchmarks.create({ name: unique('odd'), scenario_ids: ['scn_nosuch'], required_secret_names: [] }),
    (err) => err.status === 400 || err.status === 404);
});

test('a run that is given up takes its scenarios with it', async () => {
  const client = sdk();
  const s = await scenario(client, 'true');
  const benchmark = await client.api.benchmarks.create({ name: unique('benchmark'), scenario_ids: [s.id], required_secret_names: [] });
  const run = await client.api.benchmarks.startRun({ benchmark_id: benchmark.id });
  const member = await s.run({ benchmark_run_id: run.id });
  assert.equal((await client.api.benchmarkRuns.cancel(run.id)).state, 'canceled');
  assert.equal((await member.getInfo()).state, 'canceled');
  assert.equal((await member.devbox.getInfo()).status, 'shutdown');
});

test('jobs are kept', async () => {
  const client = api();
  const name = unique('job');
  const job = await client.benchmarkJobs.create({ name, spec: { type: 'harbor', inline_yaml: 'jobs: []\n' } });
  assert.equal(job.name, name);
  assert.equal(job.job_source.type, 'harbor');
  assert.equal((await client.benchmarkJobs.retrieve(job.id)).id, job.id);
  assert.ok((await client.benchmarkJobs.list({ name })).jobs.some((j) => j.id === job.id));
});
