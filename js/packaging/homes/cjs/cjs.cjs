const assert = require('node:assert/strict');

const { Kafka } = require('kafkajs');
const { KafkaShore, KafkaShoreError } = require('kafka-shore');

async function main() {
  const shore = await KafkaShore.create('memory://');
  const kafka = new Kafka({ brokers: shore.brokers, socketFactory: shore.socketFactory() });
  const producer = kafka.producer();
  await producer.connect();
  const [{ baseOffset }] = await producer.send({ topic: 'light', messages: [{ value: 'first light' }] });
  assert.equal(baseOffset, '0');
  await producer.disconnect();
  await shore.close();
  await assert.rejects(shore.reset(), KafkaShoreError);
  console.log('first light');
}

main();
