import { Buffer } from 'buffer';

globalThis.Buffer = Buffer;
globalThis.process = { env: { KAFKAJS_NO_PARTITIONER_WARNING: '1' }, hrtime: () => [0, 0], on: () => undefined };
