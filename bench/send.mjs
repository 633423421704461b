// `node send.mjs BOOTSTRAP TOPIC WARMUP COUNT`: how long kafkajs waits for a send that it awaits, the median in
// microseconds. One record of 100 bytes, acks=all, the next when the one before is acknowledged.

import { createRequire } from 'node:module';

const { Kafka, logLevel } = createRequire(new URL('../tests/clients/kafkajs/package.json', import.meta.url))('kafkajs');

const [bootstrap, topic, warmup, count] = process.argv.slice(2);
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1';
const producer = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR }).producer();
await producer.connect();
const messages = [{ value: Buffer.alloc(100, 'x') }];
const times = [];
for (let sent = -warmup; sent < count; sent += 1) {
  const start = process.hrtime.bigint();
  await producer.send({ topic, acks: -1, messages });
  if (sent >= 0) times.push(Number(process.hrtime.bigint() - start) / 1e3);
}
await producer.disconnect();
console.log(times.sort((a, b) => a - b)[times.length >> 1]);
