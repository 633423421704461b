import { node } from '../node.js';
import { provide } from '../platform.js';

provide(node);

export * from './api.js';
