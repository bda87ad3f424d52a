// Network policies.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { devbox, overBoth, sdk, undo, unique } from './support.mjs';

overBoth('a policy from its creation to its end', async (t, client) => {
  const name = unique('policy');
  const policy = await client.networkPolicy.create({
    name, description: 'for a test', allowed_hostnames: ['example.com', '*.example.org'],
    allowed_cidrs: [{ cidr: '10.0.0.0/8', ports: [{ port: 443, protocol: 'TCP' }] }],
  });
  let view = await policy.getInfo();
  assert.match(view.id, /^npol_/);
  assert.equal(view.name, name);
  assert.equal(view.description, 'for a test');
  assert.equal(view.egress.allow_all, false);
  assert.equal(view.egress.allow_devbox_to_devbox, false);
  assert.deepEqual(view.egress.allowed_hostnames, ['example.com', '*.example.org']);
  assert.equal(view.egress.allowed_cidrs[0].cidr, '10.0.0.0/8');
  assert.equal(view.egress.allowed_cidrs[0].ports[0].port, 443);

  view = await policy.update({ description: 'changed' });
  assert.equal(view.description, 'changed');
  assert.deepEqual(view.egress.allowed_hostnames, ['example.com', '*.example.org'], 'what is not given stays');
  view = await policy.update({ allowed_hostnames: [] });
  assert.deepEqual(view.egress.allowed_hostnames, []);
  await assert.rejects(client.networkPolicy.create({ name }), { status: 400 });
  assert.ok((await client.networkPolicy.list({ name })).some((p) => p.id === policy.id));
  await policy.delete();
  await assert.rejects(policy.getInfo(), { status: 404 });
});

test('a policy that allows everything', async (t) => {
  const client = sdk();
  const policy = await client.networkPolicy.create({ name: unique('open'), allow_all: true });
  undo(t, () => policy.delete());
  const { egress } = await policy.getInfo();
  assert.equal(egress.allow_all, true);
  assert.equal(egress.allow_devbox_to_devbox, true, 'which is part of everything');
});

test('a policy in use stays', async () => {
  const client = sdk();
  const policy = await client.networkPolicy.create({ name: unique('used'), allowed_hostnames: [] });
  const box = await client.devbox.create({ name: unique('box'), launch_parameters: { network_policy_id: policy.id } });
  try {
    assert.equal((await box.getInfo()).launch_parameters.network_policy_id, policy.id);
    await assert.rejects(policy.delete(), { status: 400 });
  } finally {
    await box.shutdown();
  }
  await policy.delete();
});

test('a devbox reaches what its policy allows and nothing else', async (t) => {
  const client = sdk();
  const server = createServer((req, res) => res.end('reached'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo(t, () => server.close());
  const { port } = server.address();
  const fetched = async (cidr) => {
    const policy = await client.networkPolicy.create({ name: unique('one'), allowed_cidrs: [{ cidr, ports: [{ port }] }] });
    undo(t, () => policy.delete());
    const box = await devbox(t, client, { launch_parameters: { network_policy_id: policy.id } });
    // urllib would not ask the proxy for an address of this kind.
    await box.file.write({ file_path: 'get.py', contents: [
      'import os, http.client, urllib.parse',
      'c = http.client.HTTPConnection(urllib.parse.urlsplit(os.environ["HTTP_PROXY"]).netloc, timeout=10)',
      `c.request("GET", "http://127.0.0.1:${port}/")`,
      'r = c.getresponse()',
      'print(r.status, r.read().decode())', ''].join('\n') });
    return (await box.cmd.exec('python3 get.py')).stdout();
  };
  assert.equal(await fetched('127.0.0.1/32'), '200 reached\n');
  assert.match(await fetched('192.0.2.0/24'), /^403 /);
});

test('odd policies are refused', async () => {
  const client = sdk();
  await assert.rejects(client.networkPolicy.create({ name: unique('odd'), allowed_hostnames: ['a.*.example.com'] }), { status: 400 });
  await assert.rejects(client.networkPolicy.create({ name: unique('odd'), allowed_cidrs: [{ cidr: 'nonsense' }] }), { status: 400 });
});
