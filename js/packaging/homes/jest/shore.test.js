const { Kafka } = require('kafkajs');
const { KafkaShore } = require('kafka-shore');

let shore;
beforeAll(async () => {
  shore = await KafkaShore.create('memory://');
});
afterEach(() => shore.reset());
afterAll(() => shore.close());

test.each([1, 2])('each test has a cluster of its own (%i)', async () => {
  const admin = new Kafka({ brokers: shore.brokers, socketFactory: shore.socketFactory() }).admin();
  await admin.connect();
  expect(await admin.createTopics({ topics: [{ topic: 'mine' }] })).toBe(true);
  await admin.disconnect();
});
