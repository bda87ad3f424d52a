// A small API of tasks, with nothing but Node's own modules.
const http = require('node:http');

const tasks = new Map([
  [1, { id: 1, title: 'read the manual', priority: 'low', done: true }],
  [2, { id: 2, title: 'write a test', priority: 'high', done: false }],
]);
let last = 2;

function answer(res, status, value) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(value === undefined ? '' : JSON.stringify(value));
}

async function body(req) {
  let text = '';
  for await (const chunk of req) {
    text += chunk;
    if (text.length > 1 << 16) throw new Error('too long');
  }
  return JSON.parse(text);
}

async function handle(req, res) {
  const url = new URL(req.url, 'http://tasks');
  const [, kind, id] = url.pathname.split('/');
  if (!kind) return answer(res, 200, { name: 'tasks', paths: ['/tasks', '/tasks/:id'] });
  if (kind !== 'tasks') return answer(res, 404, { error: 'no such page' });
  if (!id && req.method === 'GET') {
    const wanted = url.searchParams.get('priority');
    return answer(res, 200, [...tasks.values()].filter((t) => !wanted || t.priority === wanted));
  }
  if (!id && req.method === 'POST') {
    const { title, priority = 'medium' } = await body(req);
    if (!title) return answer(res, 400, { error: 'a task needs a title' });
    const task = { id: ++last, title, priority, done: false };
    tasks.set(task.id, task);
    return answer(res, 201, task);
  }
  const task = tasks.get(Number(id));
  if (!task) return answer(res, 404, { error: 'no such task' });
  switch (req.method) {
    case 'GET': return answer(res, 200, task);
    case 'PUT': return answer(res, 200, Object.assign(task, await body(req), { id: task.id }));
    case 'DELETE': tasks.delete(task.id); return answer(res, 204);
    default: return answer(res, 405, { error: 'not allowed' });
  }
}

http.createServer((req, res) => {
  handle(req, res).catch((err) => answer(res, 400, { error: err.message }));
}).listen(Number(process.env.PORT));
