// Runs the native broker on a directory and asks it what is there.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SHORE = fileURLToPath(new URL('../../target/debug/shore', import.meta.url));

/** Resolves to the cluster's id and to where each partition of `topic` ends. */
export async function serveCopy(directory, topic, partitions) {
  const shore = spawn(SHORE, ['serve', '--port', '0', '--data', directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(shore, 'exit');
  try {
    const ready = await firstLine(shore.stdout, /^shore ready: (\S+):(\d+) cluster=(\S+)/);
    const [, host, port, clusterId] = ready;
    return { clusterId, ends: await listEnds(host, Number(port), topic, partitions) };
  } finally {
    shore.kill('SIGTERM');
    await exited;
  }
}

async function firstLine(stream, pattern) {
  for await (const line of createInterface({ input: stream })) {
    const match = pattern.exec(line);
    if (match) return match;
  }
  throw new Error('the broker ended before it was ready');
}

/** ListOffsets v1: where each partition ends (timestamp -1). */
async function listEnds(host, port, topic, partitions) {
  const int = (size, value) => {
    const bytes = Buffer.alloc(size);
    bytes.writeIntBE(value, 0, size);
    return bytes;
  };
  const wanted = Array.from({ length: partitions }, (_, index) => [int(4, index), Buffer.alloc(8, 0xff)]).flat();
  const name = [int(2, topic.length), Buffer.from(topic)];
  // Key, version, correlation id, no client id; replica id, one topic.
  const head = [int(2, 2), int(2, 1), int(4, 7), int(2, -1)];
  const request = Buffer.concat([...head, int(4, -1), int(4, 1), ...name, int(4, partitions), ...wanted]);
  const socket = connect(port, host);
  socket.write(Buffer.concat([int(4, request.length), request]));
  let answer = Buffer.alloc(0);
  for await (const bytes of socket) {
    answer = Buffer.concat([answer, bytes]);
    if (answer.length >= 4 && answer.length >= 4 + answer.readInt32BE(0)) break;
  }
  // Length, correlation id, count and name of the topic, count of partitions; each: index, error, timestamp, offset.
  const entries = answer.subarray(4 + 4 + 4 + 2 + topic.length + 4);
  return Array.from({ length: partitions }, (_, index) => {
    const entry = entries.subarray(index * 22, (index + 1) * 22);
    if (entry.readInt16BE(4) !== 0) throw new Error(`partition ${index}: error ${entry.readInt16BE(4)}`);
    return Number(entry.readBigInt64BE(14));
  });
}
