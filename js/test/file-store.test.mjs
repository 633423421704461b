// Clusters on a directory: what is kept, and who may open it.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { KafkaShore, StoreFailedError, StoreLockedError } from '../dist/node.js';
import { connected, consume, kafka, producer } from './kafka.mjs';

const base = mkdtempSync(join(tmpdir(), 'kafka-shore-'));
after(() => rmSync(base, { recursive: true, force: true }));

const entry = JSON.stringify(new URL('../dist/node.js', import.meta.url).href);
const helpers = JSON.stringify(new URL('./kafka.mjs', import.meta.url).href);

async function withShore(uri, use) {
  const shore = await KafkaShore.create(uri);
  try {
    return await use(shore);
  } finally {
    await shore.close();
  }
}

test('records, topics and committed offsets are there after close and create', async () => {
  const uri = `file://${join(base, 'kept')}`;
  const clusterId = await withShore(uri, async (shore) => {
    await shore.createTopic('kept', { partitions: 2 });
    const client = kafka(shore);
    await connected(producer(client), (sender) =>
      sender.send({ topic: 'kept', messages: [0, 1, 2, 3].map((i) => ({ partition: i % 2, value: String(i) })) }),
    );
    await consume(client, 'group', 'kept', 4);
    return shore.clusterId;
  });
  await withShore(uri, async (shore) => {
    assert.equal(shore.clusterId, clusterId);
    const client = kafka(shore);
    await connected(producer(client), (sender) => sender.send({ topic: 'kept', messages: [{ partition: 0, value: '4' }] }));
    assert.deepEqual((await consume(client, 'group', 'kept', 1)).map(({ value }) => String(value)), ['4']);
    const all = await consume(client, 'another group', 'kept', 5);
    assert.deepEqual(all.map(({ value }) => String(value)).sort(), ['0', '1', '2', '3', '4']);
  });
});

test('what was acknowledged outlives a killed process', async () => {
  const directory = join(base, 'killed');
  const script = `
    import { KafkaShore } from ${entry};
    import { kafka, producer } from ${helpers};
    const shore = await KafkaShore.create('file://${directory}');
    await shore.createTopic('log', { partitions: 1 });
    const sender = producer(kafka(shore));
    await sender.connect();
    for (let i = 0; ; i++) {
      await sender.send({ topic: 'log', messages: [{ value: String(i) }] });
      console.log(i);
    }
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (text) => {
    printed += text;
    if (printed.split('\n').length > 200) child.kill('SIGKILL');
  });
  await once(child, 'close');
  const acknowledged = printed.split('\n').length - 1;
  assert.ok(acknowledged >= 200);
  await withShore(`file://${directory}`, async (shore) => {
    const records = await consume(kafka(shore), 'reader', 'log', acknowledged);
    assert.deepEqual(records.map(({ value }) => Number(value)), records.map((_, i) => i));
  });
});

test('reset empties the directory and keeps it', () =>
  withShore(`file://${join(base, 'reset')}`, async (shore) => {
    await shore.createTopic('gone');
    await shore.reset();
    await connected(kafka(shore).admin(), async (admin) => assert.deepEqual(await admin.listTopics(), []));
    await assert.rejects(KafkaShore.create(`file://${join(base, 'reset')}`), StoreLockedError);
  }));

test('a directory that this process has open names it', () =>
  withShore(`file://${join(base, 'own')}`, async () => {
    await assert.rejects(KafkaShore.create(`file://${join(base, 'own')}`), (error) => {
      assert.ok(error instanceof StoreLockedError);
      assert.equal(error.holder.pid, process.pid);
      assert.match(error.message, /in use by this process/);
      return true;
    });
  }));

test('a directory that another process has open names that process', async () => {
  const directory = join(base, 'other');
  const script = `
    import { KafkaShore } from ${entry};
    await KafkaShore.create('file://${directory}');
    console.log('open');
    setInterval(() => undefined, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  await assert.rejects(KafkaShore.create(`file://${directory}`), (error) => {
    assert.ok(error instanceof StoreLockedError);
    assert.deepEqual([error.holder.pid, error.holder.host], [child.pid, hostname()]);
    assert.ok(error.message.includes(`process ${child.pid} on ${hostname()}`));
    return true;
  });
  child.kill('SIGKILL');
  await once(child, 'close');
  // Its claim is still there, and is taken over.
  await withShore(`file://${directory}`, async () => undefined);
});

test('a directory that the native broker has open names that process', { skip: process.platform !== 'linux' }, async () => {
  const directory = join(base, 'native');
  mkdirSync(directory);
  const holder = spawn('flock', [join(directory, '.lock'), 'sh', '-c', 'echo held; cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  await assert.rejects(KafkaShore.create(`file://${directory}`), (error) => {
    assert.ok(error instanceof StoreLockedError);
    assert.match(error.message, /in use by process \d+/);
    return true;
  });
  holder.stdin.end();
  await once(holder, 'close');
  await withShore(`file://${directory}`, async () => undefined);
});

test('of many that open an abandoned directory at once, one gets it', async () => {
  const directory = join(base, 'raced');
  mkdirSync(directory);
  const { pid } = spawnSync(process.execPath, ['--version']);
  writeFileSync(join(directory, '.lock.node'), JSON.stringify({ pid, host: hostname(), since: 1 }));
  const script = `
    import { KafkaShore, StoreLockedError } from ${entry};
    try {
      await KafkaShore.create('file://${directory}');
      console.log('mine');
      await new Promise((resolve) => process.stdin.once('end', resolve).resume());
    } catch (error) {
      console.log(error instanceof StoreLockedError ? 'theirs' : error);
      await new Promise((resolve) => process.stdin.once('end', resolve).resume());
    }
  `;
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  const said = await Promise.all(children.map(async (child) => String((await once(child.stdout, 'data'))[0]).trim()));
  assert.deepEqual(said.sort(), ['mine', 'theirs', 'theirs', 'theirs']);
  for (const child of children) child.stdin.end();
  await Promise.all(children.map((child) => once(child, 'close')));
});

test('a directory that cannot be written to is named with the reason', async () => {
  const file = join(base, 'a file');
  writeFileSync(file, '');
  for (const uri of [`file://${file}`, `file://${file}/below`]) {
    await assert.rejects(KafkaShore.create(uri), (error) => error instanceof StoreFailedError && error.message.includes(file));
  }
  assert.ok(existsSync(file));
});
