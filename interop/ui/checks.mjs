// What the browser client of ComputeSDK must find at a handler. It runs in Node
// and in browsers: it knows fetch and EventSource and nothing else.

function same(got, want, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`${what}: ${a}, not ${b}`);
}

function holds(ok, what) {
  if (!ok) throw new Error(what);
}

async function fails(promise, message, what) {
  let err;
  try { await promise; } catch (e) { err = e; }
  holds(err, `${what} has not failed`);
  holds(message.test(err.message), `${what}: ${err.message}`);
  return err;
}

const text = 'Grüße\n"quoted" $HOME\n';

/** Files by the client's sandbox, whose answers are the wire's. */
async function files(fs) {
  same((await fs.mkdir('/tmp/dir/sub')).success, true, 'mkdir');
  same((await fs.writeFile('/tmp/dir/a.txt', text)).success, true, 'writeFile');
  same((await fs.readFile('/tmp/dir/a.txt')).fileContent, text, 'readFile');
  same((await fs.exists('/tmp/dir/a.txt')).exists, true, 'exists');
  same((await fs.exists('/tmp/dir/b.txt')).exists, false, 'exists of nothing');
  const { files: entries } = await fs.readdir('/tmp/dir');
  same(entries.map((e) => [e.name, e.path, e.isDirectory]).sort(), [['a.txt', '/tmp/dir/a.txt', false], ['sub', '/tmp/dir/sub', true]], 'readdir');
  const file = entries.find((e) => e.name === 'a.txt');
  same(file.size, new TextEncoder().encode(text).length, 'size');
  holds(Math.abs(Date.now() - Date.parse(file.lastModified)) < 600_000, `lastModified ${file.lastModified}`);
  same((await fs.remove('/tmp/dir')).success, true, 'remove');
  same((await fs.exists('/tmp/dir')).exists, false, 'exists of what was removed');
}

/** Runs what both eras have. */
async function life(sandbox, failed) {
  const sb = await sandbox.create({ timeout: 300_000 });
  holds(sb.id && sb.provider === 'stub', `sandbox ${sb.id} of ${sb.provider}`);
  const info = await sb.getInfo();
  same([info.success, info.info.id, info.info.status, info.info.timeout], [true, sb.id, 'running', 300_000], 'getInfo');
  holds((await sandbox.list()).some((s) => s.id === sb.id && s.provider === 'stub'), 'it is not listed');
  same((await sandbox.get(sb.id)).id, sb.id, 'get');
  const ran = await sb.runCommand('sh', ['-c', 'printf "%s\\n" "$1"; echo oops >&2; exit 6', 'sh', 'it\'s']);
  same([ran.result.stdout, ran.result.stderr, ran.result.exitCode, typeof ran.result.executionTime], ['it\'s\n', 'oops\n', 6, 'number'], 'runCommand');
  const code = await sb.runCode('print(1)');
  same([code.result.stdout, code.result.exitCode], ['ran print(1)\n', 3], 'runCode');
  await failed(sb.filesystem.readFile('/no/such'));
  same((await sb.destroy()).success, true, 'destroy');
  await failed(sb.runCommand('true'));
}

/** A terminal whose output comes as server-sent events. */
async function terminal(sandbox) {
  const sb = await sandbox.create();
  const term = await sb.terminal.create({ command: 'cat', cols: 100, rows: 30 });
  same([term.command, term.status, term.cols, term.rows], ['cat', 'running', 100, 30], 'terminal.create');
  holds(Number.isSafeInteger(term.pid), `pid ${term.pid}`);
  let got = '';
  let came;
  const echo = new Promise((resolve) => { came = resolve; });
  const decoder = new TextDecoder();
  term.onData = (data) => {
    holds(data instanceof Uint8Array, 'data that is not bytes');
    got += decoder.decode(data, { stream: true });
    if (got.includes('Grüße')) came();
  };
  await term.write('Grüße\n');
  await Promise.race([echo, new Promise((_, no) => { setTimeout(() => no(new Error(`only ${JSON.stringify(got)} came`)), 10_000); })]);
  await term.resize(80, 24);
  same((await sb.terminal.list()).map((t) => t.pid), [term.pid], 'terminal.list');
  same((await sb.terminal.getById(String(term.pid))).command, 'cat', 'terminal.getById');
  await term.kill();
  term.onData = undefined;
  same((await sb.terminal.getById(String(term.pid))).status, 'exited', 'status of what was killed');
  same(await sb.terminal.getById('7'), null, 'a terminal that is not there');
  await sb.destroy();
}

/** The checks by their names; D and E are the clients of the eras. */
export function checks(D, E) {
  const eraD = D.useCompute({ apiEndpoint: '/api/compute/D' });
  const eraE = E.createCompute({ apiEndpoint: '/api/compute/E' });
  const own = E.createCompute({ apiEndpoint: '/api/compute' });
  const throws = (promise) => fails(promise, /not found|no such|exist/i, 'what must fail');
  return {
    'era D: a sandbox from its creation to its end': () => life(eraD.sandbox, async (promise) => {
      const answer = await promise;
      same(answer.success, false, 'success');
      holds(D.isComputeError(answer) && D.getErrorMessage(answer), 'no error');
    }),
    'era E: a sandbox from its creation to its end': () => life(eraE.sandbox, async (promise) => same((await throws(promise)).status, 500, 'status')),
    'without an era: a sandbox from its creation to its end': () => life(own.sandbox, async (promise) => same((await throws(promise)).status, 404, 'status')),
    'files': async () => {
      for (const { sandbox } of [eraD, eraE, own]) {
        const sb = await sandbox.create();
        await files(sb.filesystem);
        await sb.destroy();
      }
    },
    'the console and the files of era E': async () => {
      const sb = await eraE.sandbox.create();
      const config = { sandboxId: sb.id, apiEndpoint: '/api/compute/E' };
      const console = E.createSandboxConsole(config);
      const ran = await console.runCommand('echo', ['a', 'b']);
      same([ran.success, ran.stdout, ran.stderr, ran.exitCode], [true, 'a b\n', '', 0], 'runCommand');
      const code = await console.runCode('x = 1', 'python');
      same([code.success, code.stdout, code.exitCode], [true, 'ran x = 1\n', 3], 'runCode');
      same(console.history.map((h) => h.type), ['input', 'output', 'input', 'output'], 'history');
      const fs = E.createSandboxFilesystem(config);
      await fs.writeFile('/tmp/f', '');
      same(await fs.readFile('/tmp/f'), '', 'an empty file');
      await throws(fs.readFile('/tmp/g'));
      await eraE.sandbox.destroy(sb.id);
      await fails(eraE.sandbox.get(sb.id), /^Sandbox .* not found$/, 'get');
    },
    'what era D does not find': async () => {
      same(await eraD.sandbox.get('nothing'), null, 'get');
      const made = await D.executeComputeRequest({ action: 'compute.sandbox.runCommand', command: 'pwd' }, '/api/compute/D');
      holds(made.success && made.sandboxId, 'a command without a sandbox makes one');
      await eraD.sandbox.destroy(made.sandboxId);
    },
    'a terminal of era D': () => terminal(eraD.sandbox),
    'mistakes': async () => {
      same((await D.executeComputeRequest({ action: 'compute.sandbox.destroy' }, '/api/compute/D')).error, 'Sandbox ID is required for destroy action', 'era D');
      const err = await fails(E.executeComputeRequest({ action: 'compute.sandbox.destroy' }, '/api/compute/E'), /^sandboxId is required for destroy action$/, 'era E');
      same([err.status, err.code], [500, 'invalid'], 'error');
    },
  };
}

/** What a page of another origin must not be able to do with a visitor's cookies. */
export async function foreign(D, other) {
  const target = D.useCompute({ apiEndpoint: `${other}/api/compute/D` });
  await fails(target.sandbox.create(), /network error|fetch/i, 'create from another origin');
  const body = JSON.stringify({ action: 'compute.sandbox.create', options: { name: 'foreign' } });
  await fetch(`${other}/api/compute`, { method: 'POST', mode: 'no-cors', credentials: 'include', body }); // no preflight
}
