import { readFile } from 'node:fs/promises';

import { node } from '../node.js';
import { provide } from '../platform.js';

provide(node, () => readFile(new URL('./kafka-shore-fast.wasm', import.meta.url)));

export * from './api.js';
