// Shows that the scripts notice what they are about: runs them against an emulator
// that breaks one promise for each, and fails unless in each script exactly the test
// of that promise fails. Without the variable INTEROP_ALL only that test is run.
import { resolve } from 'node:path';
import { run } from 'node:test';

const res = await fetch(`${process.env.RUNLOOP_BASE_URL}/interop/misbehaviours`);
if (!res.ok) throw new Error(`the emulator does not misbehave: ${res.status}`);
const promises = new Map((await res.json()).map((m) => [m.script, m]));
promises.set('ui', { test: 'files', what: 'listings do not say what is a directory' });

/** The tests of a script that fail, over whichever transport. */
async function failures(script, test) {
  const failed = new Set();
  const options = { files: [resolve('scripts', `${script}.test.mjs`)], timeout: 60_000 };
  if (!process.env.INTEROP_ALL) options.testNamePatterns = [new RegExp(`^${test}(, HTTP/[0-9.]+)?$`)];
  for await (const { type, data } of run(options)) {
    if (type === 'test:fail' && !data.name.endsWith('.test.mjs')) failed.add(data.name.replace(/, HTTP\/[\d.]+$/, ''));
  }
  return [...failed];
}

let wrong = 0;
async function prove(script) {
  const promise = promises.get(script);
  if (!promise) {
    wrong++;
    console.log(`NO PROMISE is broken for ${script}`);
    return;
  }
  const failed = await failures(script, promise.test);
  if (failed.length === 1 && failed[0] === promise.test) {
    console.log(`noticed: ${script}: ${promise.what}`);
    return;
  }
  wrong++;
  console.log(`NOT SO: ${script}: ${promise.what}: failed: ${JSON.stringify(failed)}`);
}

const scripts = process.argv.slice(2).filter((script) => script !== 'ui' || process.env.INTEROP_UI);
const worker = async () => { while (scripts.length) await prove(scripts.shift()); };
await Promise.all([worker(), worker(), worker(), worker()]);
process.exit(wrong === 0 ? 0 : 1);
