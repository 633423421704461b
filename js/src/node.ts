import { randomBytes } from 'node:crypto';
import * as net from 'node:net';

import { UnsupportedError } from './errors.js';
import { listen } from './listener.js';
import type { Platform, Sleep } from './platform.js';
import { FileStore } from './store/file.js';

export const node: Platform = {
  async openStore(uri) {
    if (uri.kind === 'file') return FileStore.open(uri.text, uri.path);
    throw new UnsupportedError(`${uri.text} needs a browser's IndexedDB. In Node use 'file://directory' or 'memory://'.`);
  },
  listen: (host, options) => listen(net, host, options),
  buffer: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  randomBytes: (length) => new Uint8Array(randomBytes(length)),
  soon: (callback) => void setImmediate(callback),
  sleep(callback, millis): Sleep {
    const timer = setTimeout(callback, millis);
    return {
      cancel: () => clearTimeout(timer),
      hold: (held) => void (held ? timer.ref() : timer.unref()),
    };
  },
};
