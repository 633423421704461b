// The life of a client: unmodified kafkajs over socketFactory, with no network.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { KafkaShore } from '../dist/node.js';
import { CompressionTypes, connected, consume, kafka, producer, registerCodecs } from './kafka.mjs';

let shore;

before(async () => {
  await registerCodecs();
  shore = await KafkaShore.create('memory://');
});
after(() => shore.close());

test('an admin creates a topic, describes the cluster and deletes the topic', async () => {
  const admin = kafka(shore).admin();
  await connected(admin, async () => {
    assert.equal(await admin.createTopics({ topics: [{ topic: 'made', numPartitions: 3 }] }), true);
    assert.equal(await admin.createTopics({ topics: [{ topic: 'made' }] }), false);
    const { topics } = await admin.fetchTopicMetadata({ topics: ['made'] });
    assert.equal(topics[0].partitions.length, 3);
    const cluster = await admin.describeCluster();
    assert.equal(cluster.clusterId, shore.clusterId);
    assert.deepEqual(cluster.brokers.map(({ host, port }) => `${host}:${port}`), shore.brokers);
    await admin.deleteTopics({ topics: ['made'] });
    assert.ok(!(await admin.listTopics()).includes('made'));
  });
});

test('keyed records with headers come back as they were sent, in every codec', async () => {
  const client = kafka(shore);
  await shore.createTopic('codecs', { partitions: 3 });
  const sent = [];
  await connected(producer(client), async (sender) => {
    for (const [codec, compression] of Object.entries(CompressionTypes)) {
      const messages = Array.from({ length: 20 }, (_, i) => ({
        key: `${codec}-${i}`,
        value: `${codec} `.repeat(20) + i,
        headers: { codec, number: Buffer.from([i]) },
      }));
      const answers = await sender.send({ topic: 'codecs', messages, compression });
      assert.ok(answers.every(({ errorCode }) => errorCode === 0), codec);
      sent.push(...messages);
    }
  });
  const records = await consume(client, 'codecs', 'codecs', sent.length);
  const byKey = new Map(records.map((record) => [record.key.toString(), record]));
  assert.equal(byKey.size, sent.length);
  for (const { key, value, headers } of sent) {
    const record = byKey.get(key);
    assert.equal(record.value.toString(), value);
    assert.equal(record.headers.codec.toString(), headers.codec);
    assert.deepEqual(record.headers.number, headers.number);
  }
  // A key stays on its partition, whatever the codec of the batch that carries it.
  const again = await consume(client, 'codecs again', 'codecs', sent.length);
  for (const { key, partition } of again) assert.equal(partition, byKey.get(key.toString()).partition);
});

test('null keys, null values and empty ones are told apart', async () => {
  const client = kafka(shore);
  await shore.createTopic('nulls', { partitions: 1 });
  const messages = [
    { key: null, value: null },
    { key: '', value: '' },
    { key: 'k', value: null },
  ];
  await connected(producer(client), (sender) => sender.send({ topic: 'nulls', messages }));
  const records = await consume(client, 'nulls', 'nulls', 3);
  assert.deepEqual(
    records.map(({ key, value }) => [key?.toString() ?? null, value?.toString() ?? null]),
    messages.map(({ key, value }) => [key, value]),
  );
});

test('a group of two shares the partitions, and a member that leaves gives its own back', async () => {
  const client = kafka(shore);
  await shore.createTopic('shared', { partitions: 4 });
  const members = [0, 1].map(() =>
    client.consumer({ groupId: 'shared', maxWaitTimeInMs: 50, heartbeatInterval: 50, sessionTimeout: 10_000 }),
  );
  const partitions = [new Set(), new Set()];
  const seen = new Map();
  const assignments = [[], []];
  let notice = () => undefined;
  const until = async (condition) => {
    while (!condition()) await new Promise((resolve) => (notice = resolve));
  };
  for (const [index, member] of members.entries()) {
    member.on('consumer.group_join', ({ payload }) => {
      assignments[index] = payload.memberAssignment.shared ?? [];
      notice();
    });
    await member.connect();
    await member.subscribe({ topics: ['shared'], fromBeginning: true });
    await member.run({
      eachMessage: async ({ partition, message }) => {
        partitions[index].add(partition);
        seen.set(message.value.toString(), (seen.get(message.value.toString()) ?? 0) + 1);
        notice();
      },
    });
  }
  await until(() => assignments[0].length === 2 && assignments[1].length === 2);
  const send = (prefix) =>
    connected(producer(client), (sender) =>
      sender.send({
        topic: 'shared',
        messages: [0, 1, 2, 3].map((partition) => ({ partition, value: `${prefix} ${partition}` })),
      }),
    );
  await send('both');
  await until(() => seen.size === 4);
  assert.deepEqual([...partitions[0], ...partitions[1]].sort(), [0, 1, 2, 3]);

  await members[1].disconnect();
  await until(() => assignments[0].length === 4);
  await send('one');
  await until(() => seen.size === 8);
  assert.deepEqual([...partitions[0]].sort(), [0, 1, 2, 3]);
  assert.ok([...seen.values()].every((times) => times === 1), 'nothing was read twice');
  await members[0].disconnect();
});

test('a group comes back at its committed offset', async () => {
  const client = kafka(shore);
  await shore.createTopic('resumed', { partitions: 1 });
  const send = (from) =>
    connected(producer(client), (sender) =>
      sender.send({ topic: 'resumed', messages: Array.from({ length: 5 }, (_, i) => ({ value: String(from + i) })) }),
    );
  const values = (records) => records.map(({ value }) => Number(value));
  await send(0);
  assert.deepEqual(values(await consume(client, 'resumed', 'resumed', 5)), [0, 1, 2, 3, 4]);
  await connected(client.admin(), async (admin) => {
    const [{ partitions }] = await admin.fetchOffsets({ groupId: 'resumed', topics: ['resumed'] });
    assert.equal(partitions[0].offset, '5');
  });
  await send(5);
  assert.deepEqual(values(await consume(client, 'resumed', 'resumed', 5)), [5, 6, 7, 8, 9]);
});

test('an idempotent producer has each record written once', async () => {
  const client = kafka(shore);
  await shore.createTopic('once', { partitions: 1 });
  await connected(producer(client, { idempotent: true, maxInFlightRequests: 1 }), async (sender) => {
    for (let i = 0; i < 50; i++) await sender.send({ topic: 'once', messages: [{ value: String(i) }] });
  });
  const records = await consume(client, 'once', 'once', 50);
  assert.deepEqual(records.map(({ value }) => Number(value)), Array.from({ length: 50 }, (_, i) => i));
  assert.deepEqual(records.map(({ offset }) => offset), Array.from({ length: 50 }, (_, i) => String(i)));
});

test('a long poll is answered as soon as there is a record', async () => {
  const client = kafka(shore);
  await shore.createTopic('awaited', { partitions: 1 });
  const consumer = client.consumer({ groupId: 'awaited', maxWaitTimeInMs: 20_000, sessionTimeout: 60_000 });
  await connected(consumer, async () => {
    await consumer.subscribe({ topics: ['awaited'], fromBeginning: true });
    let joined;
    const started = new Promise((resolve) => (joined = resolve));
    consumer.on('consumer.fetch_start', () => joined());
    const got = new Promise((resolve) => void consumer.run({ eachMessage: async ({ message }) => resolve(message.value.toString()) }));
    await started;
    await connected(producer(client), (sender) => sender.send({ topic: 'awaited', messages: [{ value: 'now' }] }));
    assert.equal(await got, 'now');
  });
});
