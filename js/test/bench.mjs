// How long one awaited send of kafkajs takes: over the socket factory, over TCP to the same core, and
// over TCP to the native broker. Ratios of one run; the median of interleaved rounds.
//
//   npm run bench [-- PATH_OF_SHORE]

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { KafkaShore } from '../dist/node.js';
import { kafka, producer } from './kafka.mjs';

const ROUNDS = 5;
const SENDS = 2000;
const value = Buffer.alloc(100, 'x');
const shorePath = process.argv[2] ?? fileURLToPath(new URL('../../target/release/shore', import.meta.url));

const inProcess = await KafkaShore.create('memory://');
const listening = await KafkaShore.create('memory://');
await listening.listen();
const native = spawn(shorePath, ['serve', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
const [, broker] = /^shore ready: (\S+)/.exec(String((await once(native.stdout, 'data'))[0]));

const targets = {
  'socket factory': kafka(inProcess),
  'wasm behind TCP': kafka(listening, { socketFactory: undefined }),
  'native over TCP': kafka({ brokers: [broker], socketFactory: () => undefined }, { socketFactory: undefined }),
};
const senders = {};
for (const [name, client] of Object.entries(targets)) {
  senders[name] = producer(client);
  await senders[name].connect();
}
const medians = Object.fromEntries(Object.keys(targets).map((name) => [name, []]));
for (let round = 0; round <= ROUNDS; round++) {
  for (const [name, sender] of Object.entries(senders)) {
    const micros = [];
    for (let i = 0; i < SENDS; i++) {
      const begun = process.hrtime.bigint();
      await sender.send({ topic: 'bench', messages: [{ value }] });
      micros.push(Number(process.hrtime.bigint() - begun) / 1000);
    }
    // The first round warms up.
    if (round > 0) medians[name].push(median(micros));
  }
}
const base = median(medians['native over TCP']);
for (const [name, values] of Object.entries(medians)) {
  console.log(`${name.padEnd(16)} p50 ${median(values).toFixed(0).padStart(5)} us, ${(median(values) / base).toFixed(2)}x native over TCP`);
}

const resets = [];
for (let i = 0; i < 100; i++) {
  await inProcess.createTopic('t', { partitions: 3 });
  const begun = performance.now();
  await inProcess.reset();
  resets.push(performance.now() - begun);
}
console.log(`reset p50 ${median(resets).toFixed(2)} ms, slowest of 100 ${Math.max(...resets).toFixed(2)} ms`);

for (const sender of Object.values(senders)) await sender.disconnect();
await inProcess.close();
await listening.close();
native.kill('SIGINT');

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
