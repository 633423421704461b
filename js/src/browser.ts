import { UnsupportedError } from './errors.js';
import type { Platform, Sleep } from './platform.js';
import { IdbStore } from './store/idb.js';

/** A message to oneself comes round sooner than a timer, and is not throttled in a hidden tab. */
const { port1, port2 } = new MessageChannel();
const waiting: (() => void)[] = [];
port1.onmessage = () => waiting.shift()?.();

export const browser: Platform = {
  async openStore(uri) {
    if (uri.kind === 'idb') return IdbStore.open(uri.text, uri.name);
    throw new UnsupportedError(`${uri.text} needs Node's file system. In a browser use 'idb://name' or 'memory://'.`);
  },
  async listen() {
    throw new UnsupportedError('A browser cannot listen on a port. Use socketFactory(), or run the cluster in Node.');
  },
  buffer(bytes) {
    const { Buffer } = globalThis as { Buffer?: { from(buffer: ArrayBufferLike, at: number, length: number): Uint8Array } };
    return Buffer ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes;
  },
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  soon(callback) {
    waiting.push(callback);
    port2.postMessage(undefined);
  },
  sleep(callback, millis): Sleep {
    const timer = setTimeout(callback, millis);
    return { cancel: () => clearTimeout(timer), hold: () => undefined };
  },
};
