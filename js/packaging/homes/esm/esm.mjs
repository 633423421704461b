import assert from 'node:assert/strict';

import { Kafka } from 'kafkajs';
import { KafkaShore } from 'kafka-shore';
import { KafkaShore as Slim } from 'kafka-shore/slim';

assert.equal(KafkaShore, Slim);
const shore = await KafkaShore.create('memory://');
const kafka = new Kafka({ brokers: shore.brokers, socketFactory: shore.socketFactory() });
const producer = kafka.producer();
await producer.connect();
const [{ baseOffset }] = await producer.send({ topic: 'light', messages: [{ value: 'first light' }] });
assert.equal(baseOffset, '0');
await producer.disconnect();
const consumer = kafka.consumer({ groupId: 'keepers' });
await consumer.connect();
await consumer.subscribe({ topics: ['light'], fromBeginning: true });
const message = await new Promise((resolve) => consumer.run({ eachMessage: async ({ message }) => resolve(message) }));
await consumer.disconnect();
await shore.close();
console.log(message.value.toString());
