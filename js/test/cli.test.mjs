// The command line: what it prints, and with which code it ends.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { connected, consume, kafka, producer } from './kafka.mjs';

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
const base = mkdtempSync(join(tmpdir(), 'kafka-shore-cli-'));
after(() => rmSync(base, { recursive: true, force: true }));

/** Starts it, and waits for the line that says it is ready. */
async function start(...args) {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  const line = await Promise.race([
    once(child.stdout, 'data').then(([text]) => String(text)),
    once(child, 'close').then(([code]) => Promise.reject(new Error(`ended with ${code}: ${stderr}`))),
  ]);
  const [, broker, cluster, data] = /^shore ready: (\S+) cluster=(\S+) data=(.*)\n$/.exec(line);
  return {
    cluster,
    data,
    client: kafka({ brokers: [broker], socketFactory: () => undefined }, { socketFactory: undefined }),
    async stop() {
      child.kill('SIGINT');
      const [code] = await once(child, 'close');
      return [code, stderr];
    },
  };
}

function run(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 30_000 });
  return { status, stdout, stderr };
}

test('it serves clients over TCP, keeps a directory and closes cleanly on Ctrl-C', async () => {
  const data = join(base, 'data');
  const args = ['--port=0', '--data', data, '--topic', 'orders:3', '--config', 'num.partitions=2'];
  const first = await start(...args);
  assert.equal(first.data, data);
  await connected(first.client.admin(), async (admin) => {
    await admin.createTopics({ topics: [{ topic: 'by.default' }] });
    const { topics } = await admin.fetchTopicMetadata();
    const counts = Object.fromEntries(topics.map(({ name, partitions }) => [name, partitions.length]));
    assert.deepEqual(counts, { orders: 3, 'by.default': 2 });
  });
  await connected(producer(first.client), (sender) => sender.send({ topic: 'orders', messages: [{ value: 'kept' }] }));
  assert.deepEqual(await first.stop(), [0, '']);
  const second = await start(...args);
  assert.equal(second.cluster, first.cluster);
  const [record] = await consume(second.client, 'group', 'orders', 1);
  assert.equal(String(record.value), 'kept');
  assert.deepEqual(await second.stop(), [0, '']);
});

test('one clear line and a code of its own for each thing that cannot be', async () => {
  const busy = net.createServer();
  await new Promise((resolve) => busy.listen(0, '127.0.0.1', resolve));
  const file = join(base, 'file');
  writeFileSync(file, '');
  const port = String(busy.address().port);
  const cases = [
    [['--prot', '1'], 2, /no option `--prot`/],
    [['--port', 'http'], 2, /a port is a number/],
    [['--port'], 2, /--port needs a value/],
    [['--topic', 'orders'], 2, /name:partitions/],
    [['--memory-ceiling', '1T'], 2, /a size is a number/],
    [['--config', 'num.partitions'], 2, /key=value/],
    [['--durability', 'synced'], 2, /need --data/],
    [['--port', port], 3, new RegExp(`port ${port} on 127.0.0.1 is in use`)],
    [['--port', '0', '--listen', '203.0.113.1'], 3, /not an address of this machine/],
    [['--port', '0', '--data', file], 4, /cannot write to the directory/],
  ];
  for (const [args, code, message] of cases) {
    const { status, stdout, stderr } = run(...args);
    assert.equal(status, code, `${args}: ${stderr}`);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
    assert.equal(stdout, '');
  }
  busy.close();
});

test('a directory in use is refused with the holder\'s name', async () => {
  const data = join(base, 'used');
  const holder = await start('--port', '0', '--data', data);
  const { status, stderr } = run('--port', '0', '--data', data);
  assert.equal(status, 5);
  assert.match(stderr, /in use by process \d+/);
  assert.deepEqual(await holder.stop(), [0, '']);
});

test('help and version go to standard output', () => {
  assert.match(run('--help').stdout, /--topic NAME:PARTITIONS/);
  assert.match(run('--version').stdout, /^\d+\.\d+\.\d+\n$/);
});
