// Unmodified kafkajs in a page. It needs a few of Node's globals and modules, which the bundler is
// told where to find; its connections are the cluster's.

import { Kafka, logLevel } from 'kafkajs';
import { KafkaShore } from 'kafka-shore';

try {
  const shore = await KafkaShore.create('memory://');
  await shore.createTopic('light', { partitions: 2 });
  const kafka = new Kafka({ brokers: shore.brokers, socketFactory: shore.socketFactory(), logLevel: logLevel.NOTHING });
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: 'light', messages: [{ key: 'k', value: 'first light', headers: { h: 'x' } }] });
  await producer.disconnect();
  const consumer = kafka.consumer({ groupId: 'keepers' });
  await consumer.connect();
  await consumer.subscribe({ topics: ['light'], fromBeginning: true });
  const { value, headers } = await new Promise((resolve) => consumer.run({ eachMessage: async ({ message }) => resolve(message) }));
  await consumer.disconnect();
  await shore.close();
  document.title = `${value} ${headers.h}` === 'first light x' ? 'ok' : `${value} ${headers.h}`;
} catch (error) {
  document.title = String(error?.stack ?? error);
}
