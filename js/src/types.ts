import type { CoreFailedError } from './errors.js';
import type { ShoreSocket } from './socket.js';

export interface CreateOptions {
  /** Broker configs, as in `server.properties`. */
  readonly config?: Readonly<Record<string, string | number | boolean>>;
  /**
   * What an acknowledgement waits for: nothing but the append in memory (the default of `memory://`),
   * that the host has written it (the default elsewhere: a killed process loses nothing), or that it
   * would survive a loss of power.
   */
  readonly durability?: 'memory' | 'written' | 'synced';
  /** The most that `memory://` keeps of records; the oldest segments go first. 1 GiB by default. */
  readonly memoryBytes?: number;
  /** The core, where the entry does not bring it (`kafka-shore/slim`): `dist/kafka-shore.wasm`. */
  readonly wasm?: WasmSource;
}

/** What unmodified kafkajs takes as `socketFactory`. */
export type SocketFactory = (options: {
  readonly host: string;
  readonly port: number;
  readonly ssl?: unknown;
  readonly onConnect: () => void;
}) => KafkaSocket;

/** The parts of `net.Socket` that Kafka clients use; typed loosely so that it fits where one is asked for. */
export type KafkaSocket = ShoreSocket & any;

export interface KafkaShoreEvents {
  /** A line for the operator. */
  log: (line: string) => void;
  /** The broker broke down, which is a bug; `reset()` starts it anew. */
  error: (error: CoreFailedError) => void;
}

export interface ListenOptions {
  /** 0, which is the default, takes a free one. */
  readonly port?: number;
  /** Loopback unless told otherwise. */
  readonly host?: string;
  /** The host that clients are told to connect to, where it is not the one listened on. */
  readonly advertisedHost?: string;
  readonly advertisedPort?: number;
  /** Further connections are closed at once. 1000 by default. */
  readonly maxConnections?: number;
  /** Silent connections are closed after this long. Kafka's 10 minutes by default. */
  readonly idleMillis?: number;
}

export interface TopicOptions {
  /** The broker's `num.partitions` unless given. */
  readonly partitions?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

/** What a partition's leader remembers of a producer. Numbers of 64 bits are strings, as in kafkajs. */
export interface ProducerState {
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly lastSequence: number;
  readonly lastTimestamp: string;
  /** -1 as long as no transaction of this producer has ended. */
  readonly coordinatorEpoch: number;
  /** Where its open transaction begins in this partition, if there is one. */
  readonly currentTransactionStartOffset: string | null;
}

/** What the coordinator knows of a transactional id. */
export interface TransactionState {
  readonly transactionalId: string;
  /** `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort` or `PrepareEpochFence`. */
  readonly state: string;
  readonly timeoutMs: number;
  readonly startTimestamp: string | null;
  readonly producerId: string;
  readonly producerEpoch: number;
  /** What takes part in the open transaction; of one that is ending, where its marker is still missing. */
  readonly topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
}

/** A TCP port that leads to a cluster. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** WebAssembly code in any form that a loader may have it in: bytes, a module, a response. */
export type WasmSource = WasmCode | PromiseLike<WasmCode>;

type WasmCode = ArrayBuffer | ArrayBufferView | WasmModule | WasmResponse;
/** Not every program that uses this package has the types of these globals. */
type WasmModule = typeof globalThis extends { WebAssembly: { Module: { prototype: infer T } } } ? T : never;
type WasmResponse = typeof globalThis extends { Response: { prototype: infer T } } ? T : never;
