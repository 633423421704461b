// What the broker does beyond sending and reading, through unmodified kafkajs and the package's own calls.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { BrokerError, ClosedError, InvalidOptionError, KafkaShore } from '../dist/node.js';
import { connected, consume, kafka, producer } from './kafka.mjs';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const TOPIC_RESOURCE = 2;

let shore;
let client;

before(async () => {
  shore = await KafkaShore.create('memory://');
  client = kafka(shore);
});
after(() => shore.close());

const send = (topic, messages) => connected(producer(client), (sender) => sender.send({ topic, messages }));
const values = (records) => records.map(({ value }) => value.toString());

test('a topic is made with configs, altered, and given more partitions', async () => {
  await shore.createTopic('shaped', { partitions: 2, configs: { 'retention.ms': '3600000' } });
  await connected(client.admin(), async (admin) => {
    const config = async (name) => {
      const { resources } = await admin.describeConfigs({
        resources: [{ type: TOPIC_RESOURCE, name: 'shaped', configNames: [name] }],
        includeSynonyms: false,
      });
      return resources[0].configEntries[0].configValue;
    };
    assert.equal(await config('retention.ms'), '3600000');
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: TOPIC_RESOURCE, name: 'shaped', configEntries: [{ name: 'cleanup.policy', value: 'compact' }] }],
    });
    assert.deepEqual([await config('cleanup.policy'), await config('retention.ms')], ['compact', '604800000']);
    await admin.createPartitions({ topicPartitions: [{ topic: 'shaped', count: 5 }] });
    const { topics } = await admin.fetchTopicMetadata({ topics: ['shaped'] });
    assert.equal(topics[0].partitions.length, 5);
  });
});

test('a config that is none is refused in the words of the broker', async () => {
  const refused = shore.createTopic('misshaped', { configs: { 'retention.ms': 'soon' } });
  await assert.rejects(refused, (error) => error instanceof BrokerError && error.errorCode === 40 && /retention\.ms/.test(error.message));
});

test('records that are deleted are read no more', async () => {
  await shore.createTopic('shortened', { partitions: 1 });
  await send('shortened', ['a', 'b', 'c'].map((value) => ({ value })));
  await connected(client.admin(), async (admin) => {
    // kafkajs deletes records only of topics that it has heard of.
    await admin.fetchTopicOffsets('shortened');
    await admin.deleteTopicRecords({ topic: 'shortened', partitions: [{ partition: 0, offset: '2' }] });
    const [{ low, high }] = await admin.fetchTopicOffsets('shortened');
    assert.deepEqual([low, high], ['2', '3']);
  });
  assert.deepEqual(values(await consume(client, 'shortened', 'shortened', 1)), ['c']);
});

test('a transaction is read whole once it is committed, and never if it is aborted', async () => {
  await shore.createTopic('atomic', { partitions: 1 });
  const sender = producer(client, { transactionalId: 'teller', maxInFlightRequests: 1, idempotent: true });
  await connected(sender, async () => {
    for (const [word, end] of [['aborted', 'abort'], ['committed', 'commit']]) {
      const transaction = await sender.transaction();
      await transaction.send({ topic: 'atomic', messages: [1, 2].map((number) => ({ value: `${word} ${number}` })) });
      const [state] = await ofTeller();
      assert.deepEqual([state.state, state.topics], ['Ongoing', [{ topic: 'atomic', partitions: [0] }]]);
      const [{ producerId, currentTransactionStartOffset }] = await shore.describeProducers('atomic');
      assert.equal(producerId, state.producerId);
      // Two records and the marker of the transaction before.
      assert.equal(currentTransactionStartOffset, word === 'aborted' ? '0' : '3');
      await transaction[end]();
    }
    const [{ state }] = await ofTeller();
    assert.equal(state, 'CompleteCommit');
    const producers = await shore.describeProducers('atomic');
    assert.ok(producers.every((one) => one.currentTransactionStartOffset === null));
  });
  assert.deepEqual(values(await consume(client, 'sober', 'atomic', 2)), ['committed 1', 'committed 2']);
  const everything = await consume(client, 'eager', 'atomic', 4, { readUncommitted: true });
  assert.deepEqual(values(everything), ['aborted 1', 'aborted 2', 'committed 1', 'committed 2']);
});

const ofTeller = async () => (await shore.describeTransactions()).filter(({ transactionalId }) => transactionalId === 'teller');

test('offsets that are sent in a transaction are committed with it', async () => {
  await shore.createTopic('taken', { partitions: 1 });
  const sender = producer(client, { transactionalId: 'copier', maxInFlightRequests: 1, idempotent: true });
  const committed = () =>
    connected(client.admin(), async (admin) => (await admin.fetchOffsets({ groupId: 'copier', topics: ['taken'] }))[0].partitions[0].offset);
  await connected(sender, async () => {
    for (const [offset, end, expected] of [['7', 'abort', '-1'], ['9', 'commit', '9']]) {
      const transaction = await sender.transaction();
      await transaction.sendOffsets({ consumerGroupId: 'copier', topics: [{ topic: 'taken', partitions: [{ partition: 0, offset }] }] });
      await transaction[end]();
      assert.equal(await committed(), expected);
    }
  });
});

test('a group is stable with its members, empty without, and then may be deleted', async () => {
  await shore.createTopic('watched', { partitions: 1 });
  await send('watched', [{ value: 'one' }]);
  await connected(client.admin(), async (admin) => {
    const state = async () => (await admin.describeGroups(['watchers'])).groups[0].state;
    const member = client.consumer({ groupId: 'watchers' });
    await connected(member, async () => {
      await member.subscribe({ topics: ['watched'], fromBeginning: true });
      await new Promise((resolve) => void member.run({ eachMessage: async () => resolve() }));
      assert.equal(await state(), 'Stable');
    });
    assert.equal(await state(), 'Empty');
    await admin.deleteGroups(['watchers']);
    assert.equal(await state(), 'Dead');
  });
});

test('retention is watched at work by letting hours pass', async () => {
  await shore.createTopic('retained', { partitions: 1, configs: { 'retention.ms': String(HOUR) } });
  await send('retained', [{ value: 'old' }, { value: 'older' }]);
  const start = shore.now();
  await shore.fastForward(2 * HOUR);
  assert.ok(shore.now() >= start + 2 * HOUR && shore.now() < start + 3 * HOUR);
  await connected(client.admin(), async (admin) => {
    const [{ low, high }] = await admin.fetchTopicOffsets('retained');
    assert.deepEqual([low, high], ['2', '2']);
  });
});

test('compaction leaves the last record of each key', async () => {
  const configs = { 'cleanup.policy': 'compact', 'segment.ms': String(MINUTE), 'min.cleanable.dirty.ratio': '0.01' };
  await shore.createTopic('compacted', { partitions: 1, configs });
  const stamped = (messages) => messages.map((message) => ({ ...message, timestamp: String(shore.now()) }));
  await send('compacted', stamped(['1', '2', '3'].map((value) => ({ key: 'k', value }))));
  await shore.fastForward(2 * MINUTE);
  // A record after `segment.ms` closes the segment, and only closed ones are compacted.
  await send('compacted', stamped([{ key: 'z', value: 'last' }]));
  await shore.fastForward(MINUTE);
  assert.deepEqual(values(await consume(client, 'compacted', 'compacted', 2)), ['3', 'last']);
});

test('a transaction that nobody ends is aborted when its time is over', async () => {
  await shore.createTopic('forgotten', { partitions: 1 });
  const sender = producer(client, { transactionalId: 'forgetful', transactionTimeout: MINUTE, maxInFlightRequests: 1, idempotent: true });
  await connected(sender, async () => {
    const transaction = await sender.transaction();
    await transaction.send({ topic: 'forgotten', messages: [{ value: 'lost' }] });
    await shore.fastForward(2 * MINUTE);
    const state = (await shore.describeTransactions()).find(({ transactionalId }) => transactionalId === 'forgetful');
    assert.equal(state.state, 'CompleteAbort');
    await assert.rejects(transaction.commit());
  });
});

test('what cannot be asked is refused with what can', async () => {
  await assert.rejects(shore.fastForward(-1), InvalidOptionError);
  await assert.rejects(shore.fastForward(Number.NaN), InvalidOptionError);
  await assert.rejects(shore.describeProducers('shaped', 0.5), InvalidOptionError);
  await assert.rejects(shore.describeProducers('nowhere'), (error) => error instanceof BrokerError && error.errorCode === 3);
  await assert.rejects(shore.createTopic('x', { partitions: 1.5 }), InvalidOptionError);
});

test('time that has passed stays past when the broker restarts, and a reset brings the present back', async () => {
  const other = await KafkaShore.create('memory://');
  await other.fastForward(24 * HOUR);
  const listener = await other.listen();
  assert.ok(other.now() >= Date.now() + 23 * HOUR);
  await listener.close();
  await other.reset();
  assert.ok(Math.abs(other.now() - Date.now()) < HOUR);
  await other.close();
});

test('time passes over files too, and a close does not wait for the end of it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'kafka-shore-time-'));
  const other = await KafkaShore.create(`file://${directory}`);
  try {
    await other.createTopic('retained', { partitions: 1, configs: { 'retention.ms': String(HOUR) } });
    const there = kafka(other);
    await connected(producer(there), (sender) => sender.send({ topic: 'retained', messages: [{ value: 'old' }] }));
    await other.fastForward(2 * HOUR);
    const [{ low }] = await connected(there.admin(), (admin) => admin.fetchTopicOffsets('retained'));
    assert.equal(low, '1');
    const years = assert.rejects(other.fastForward(10 * 365 * 24 * HOUR), ClosedError);
    await other.close();
    await years;
  } finally {
    await other.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
