// Shows that the scripts notice what they are about: runs them against an emulator
// that breaks one promise for each, and fails unless in each script exactly the test
// of that promise fails.
import { basename, resolve } from 'node:path';
import { run } from 'node:test';

const scripts = process.argv.slice(2);
const res = await fetch(`${process.env.RUNLOOP_BASE_URL}/interop/misbehaviours`);
if (!res.ok) throw new Error(`the emulator does not misbehave: ${res.status}`);
const promises = new Map((await res.json()).map((m) => [m.script, m]));

const files = scripts.map((name) => resolve('scripts', `${name}.test.mjs`));
const failed = new Map(scripts.map((name) => [name, new Set()]));
const stream = run({ files, concurrency: 4, timeout: 60_000 });
stream.on('test:fail', ({ name, file }) => {
  const script = basename(file ?? name, '.test.mjs');
  const test = name.replace(/, HTTP\/[\d.]+$/, '');
  if (!name.endsWith('.test.mjs')) failed.get(script).add(test);
});
for await (const _ of stream); // until all have ended

let wrong = 0;
for (const script of scripts) {
  const promise = promises.get(script);
  const tests = [...failed.get(script)];
  if (promise && tests.length === 1 && tests[0] === promise.test) {
    console.log(`noticed: ${script}: ${promise.what}`);
    continue;
  }
  wrong++;
  console.log(promise ? `NOT SO: ${script}: ${promise.what}: failed: ${JSON.stringify(tests)}` : `NO PROMISE is broken for ${script}`);
}
process.exit(wrong === 0 ? 0 : 1);
