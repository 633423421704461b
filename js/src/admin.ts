import { BrokerError, ClosedError, InvalidOptionError } from './errors.js';
import type { TopicOptions } from './types.js';

/** A connection that carries whole frames, for the few requests that this package makes itself. */
export interface FrameSocket {
  on(event: 'data' | 'end', listener: (bytes: Uint8Array) => void): unknown;
  write(bytes: Uint8Array): unknown;
  destroy(): unknown;
}

const CREATE_TOPICS = 19;
/** The newest version without tagged fields. */
const VERSION = 4;
const TIMEOUT_MILLIS = 30_000;

/** Creates a topic as any client does: by a CreateTopics request. */
export async function createTopic(socket: FrameSocket, name: string, options: TopicOptions): Promise<void> {
  const { partitions = -1, configs = {} } = options;
  if (!Number.isInteger(partitions)) throw new InvalidOptionError(`partitions is a whole number, not '${String(partitions)}'`);
  const request = new BigEndian();
  request.i16(CREATE_TOPICS).i16(VERSION).i32(1).string('kafka-shore');
  request.i32(1).string(name).i32(partitions).i16(-1).i32(0);
  request.i32(Object.keys(configs).length);
  for (const [key, value] of Object.entries(configs)) request.string(key).string(value);
  request.i32(TIMEOUT_MILLIS).i8(0);
  try {
    const { code, message } = readAnswer(await roundTrip(socket, request.frame()));
    if (code !== 0) throw new BrokerError(code, message ?? `The broker refused the topic '${name}' with error code ${code}.`);
  } finally {
    socket.destroy();
  }
}

function roundTrip(socket: FrameSocket, frame: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    socket.on('data', resolve);
    socket.on('end', () => reject(new ClosedError('The broker closed the connection.')));
    socket.write(frame);
  });
}

/** Length, correlation id, throttle time, then one topic: name, code, message. */
function readAnswer(frame: Uint8Array): { code: number; message: string | undefined } {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = 4 + 4 + 4 + 4;
  at += 2 + view.getInt16(at);
  const code = view.getInt16(at);
  const length = view.getInt16(at + 2);
  const message = length < 0 ? undefined : new TextDecoder().decode(frame.subarray(at + 4, at + 4 + length));
  return { code, message };
}

class BigEndian {
  #bytes: number[] = [];

  i8(value: number): this {
    this.#bytes.push(value & 0xff);
    return this;
  }

  i16(value: number): this {
    return this.i8(value >> 8).i8(value);
  }

  i32(value: number): this {
    return this.i16(value >> 16).i16(value);
  }

  string(text: string): this {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > 0x7fff) throw new InvalidOptionError('a name or value is longer than 32767 bytes');
    this.i16(bytes.length);
    this.#bytes.push(...bytes);
    return this;
  }

  /** With the length prefix. */
  frame(): Uint8Array {
    const body = this.#bytes;
    this.#bytes = [];
    this.i32(body.length);
    return Uint8Array.from([...this.#bytes, ...body]);
  }
}
