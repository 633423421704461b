// What the tests share: unmodified kafkajs over a cluster's socket factory, and codecs for it.

import { createRequire } from 'node:module';

import kafkajs from 'kafkajs';

const require = createRequire(import.meta.url);
const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;

export { CompressionTypes, Partitioners };

export function kafka(shore, options = {}) {
  return new Kafka({
    clientId: 'test',
    brokers: shore.brokers,
    socketFactory: shore.socketFactory(),
    logLevel: logLevel.NOTHING,
    ...options,
  });
}

export function producer(client, options = {}) {
  return client.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options });
}

/** Runs `use` with a connected producer, consumer or admin, and disconnects it. */
export async function connected(client, use) {
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.disconnect();
  }
}

/** The first `count` records that a new member of `groupId` is given. */
export async function consume(client, groupId, topic, count, options = {}) {
  const consumer = client.consumer({ groupId, maxWaitTimeInMs: 100, ...options });
  return connected(consumer, async () => {
    const records = [];
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await new Promise((resolve, reject) => {
      if (count === 0) resolve();
      consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      consumer
        .run({
          eachMessage: async ({ partition, message }) => {
            records.push({ partition, ...message });
            if (records.length === count) resolve();
          },
        })
        .catch(reject);
    });
    return records;
  });
}

/** kafkajs brings gzip; the others are for its user to bring. */
export async function registerCodecs() {
  const snappy = require('snappyjs');
  CompressionCodecs[CompressionTypes.Snappy] = () => ({
    compress: async (encoder) => Buffer.from(snappy.compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(snappy.uncompress(withoutXerialFrame(buffer))),
  });
  const lz4 = require('lz4js');
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: async (encoder) => withIndependentBlocks(Buffer.from(lz4.compress(encoder.buffer))),
    decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
  });
  const zstd = await new Promise((resolve) => require('zstd-codec').ZstdCodec.run((codec) => resolve(new codec.Simple())));
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
  });
}

/** Kafka takes no frames whose blocks depend on one another; a frame of one block need not say that they do. */
function withIndependentBlocks(frame) {
  frame[4] |= 0x20;
  frame[6] = (require('lz4js/xxh32.js').hash(0, frame, 4, 2) >> 8) & 0xff;
  return frame;
}

/** Java clients frame snappy: a header of 16 bytes, then blocks with their lengths. */
function withoutXerialFrame(buffer) {
  if (buffer.subarray(0, 8).toString('latin1') !== '\x82SNAPPY\0') return buffer;
  const length = buffer.readInt32BE(16);
  if (20 + length !== buffer.length) throw new Error('more than one block');
  return buffer.subarray(20, 20 + length);
}
