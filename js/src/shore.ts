/// <reference lib="esnext.disposable" preserve="true" />
import './symbols.js';
import { createTopic, describeProducers, describeTransactions, type FrameSocket } from './admin.js';
import type { CoreOptions } from './core.js';
import { ClosedError, InvalidOptionError, ListenError, type CoreFailedError } from './errors.js';
import { ClusterHost } from './host.js';
import { currentPlatform, loadModule, type Platform } from './platform.js';
import { ShoreSocket, type Line } from './socket.js';
import type { Store } from './store/store.js';
import type { CreateOptions, KafkaShoreEvents, Listener, ListenOptions, ProducerState, SocketFactory, TopicOptions, TransactionState } from './types.js';
import { parseUri } from './uri.js';

/** Where in-process clients are told that the broker is; any host and port leads there. */
const IN_PROCESS = { host: 'kafka-shore', port: 9092 } as const;
/** How often a broker is started again on its store before it is given up. */
const BREAKDOWNS = 3;
const MAX_FRAME_BYTES = 104_857_600;
const LONGEST_LEAP_MILLIS = 10 * 365 * 24 * 3_600_000;

/**
 * What one node needs that Kafka's defaults, made for several, do not give. Reported as static broker
 * configs, as those of the caller, which stand over them.
 */
const ONE_NODE: Readonly<Record<string, string>> = {
  'group.initial.rebalance.delay.ms': '0',
  'offsets.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'share.coordinator.state.topic.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.replication.factor': '1',
};

/** A Kafka cluster of one broker, in this process. */
export class KafkaShore implements AsyncDisposable {
  readonly #platform: Platform;
  readonly #host: ClusterHost;
  readonly #store: Store | undefined;
  readonly #options: CoreOptions;
  readonly #listeners: { [E in keyof KafkaShoreEvents]: Set<KafkaShoreEvents[E]> } = { log: new Set(), error: new Set() };
  #advertised: { readonly host: string; readonly port: number } = IN_PROCESS;
  #listener: Listener | undefined;
  /** Everything that starts or stops the broker, one after the other. */
  #work: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;
  /** Why there is no broker, if it broke down and was not started again. */
  #broken: CoreFailedError | undefined;
  #breakdowns = 0;

  private constructor(module: WebAssembly.Module, store: Store | undefined, options: CoreOptions) {
    const platform = currentPlatform();
    this.#platform = platform;
    this.#store = store;
    this.#options = options;
    this.#host = new ClusterHost(platform, module, store, {
      log: (line) => this.#emit('log', line),
      failed: (error) => this.#recover(error),
    });
  }

  /** Opens the store that `uri` names, or makes it, and starts a broker on it. */
  static async create(uri: string, options: CreateOptions = {}): Promise<KafkaShore> {
    const where = parseUri(uri);
    const module = await loadModule(options.wasm);
    const platform = currentPlatform();
    const fresh = freshClusterId(platform);
    const store = where.kind === 'memory' ? undefined : await platform.openStore(where);
    try {
      const clusterId = store ? await store.clusterId(fresh) : fresh;
      const seed = new DataView(platform.randomBytes(8).buffer).getBigUint64(0);
      const shore = new KafkaShore(module, store, { ...readOptions(options, where.kind === 'memory'), clusterId, seed });
      await shore.#boot();
      return shore;
    } catch (error) {
      await store?.close();
      throw error;
    }
  }

  get clusterId(): string {
    return this.#options.clusterId;
  }

  /** The addresses to give to a client as its brokers. */
  get brokers(): string[] {
    return [`${this.#advertised.host}:${this.#advertised.port}`];
  }

  /** For kafkajs: `new Kafka({ brokers: shore.brokers, socketFactory: shore.socketFactory() })`. */
  socketFactory(): SocketFactory {
    return ({ onConnect }) => {
      const socket = this.#connect();
      queueMicrotask(() => {
        if (!socket.destroyed) onConnect();
      });
      return socket;
    };
  }

  /**
   * Listens on a TCP port and advertises it. The broker restarts for that, as a Kafka broker does
   * when its `advertised.listeners` change: connections that were open end, records stay.
   */
  async listen(options: ListenOptions = {}): Promise<Listener> {
    return this.#exclusively(async () => {
      if (this.#listener) {
        throw new ListenError(`This cluster listens on ${this.#listener.host}:${this.#listener.port} already; close that first.`);
      }
      const listener = await this.#platform.listen(this.#host, options);
      this.#listener = listener;
      this.#advertised = {
        host: options.advertisedHost ?? advertisable(listener.host),
        port: options.advertisedPort ?? listener.port,
      };
      await this.#host.stop();
      await this.#boot();
      const close = async (): Promise<void> => {
        if (this.#listener === listener) this.#listener = undefined;
        await listener.close();
      };
      return { host: listener.host, port: listener.port, close };
    });
  }

  /** Creates a topic by a CreateTopics request. */
  async createTopic(name: string, options: TopicOptions = {}): Promise<void> {
    await this.#ask((socket) => createTopic(socket, name, options));
  }

  /** The producers that a partition remembers, and where their open transactions begin in it. */
  async describeProducers(topic: string, partition = 0): Promise<ProducerState[]> {
    return this.#ask((socket) => describeProducers(socket, topic, partition));
  }

  /** Every transactional id that the cluster knows, and how far its transaction is. */
  async describeTransactions(): Promise<TransactionState[]> {
    return this.#ask(describeTransactions);
  }

  /** The cluster's wall clock, in milliseconds as `Date.now()`: ahead of that by what was fast-forwarded. */
  now(): number {
    return this.#host.wall;
  }

  /**
   * Lets this much of the cluster's time pass at once: retention, compaction and timeouts happen as if it
   * had been waited for. Clients live in real time: a group's member that is not heard of expires.
   */
  async fastForward(millis: number): Promise<void> {
    if (!(millis >= 0 && millis <= LONGEST_LEAP_MILLIS)) {
      throw new InvalidOptionError(`fastForward takes milliseconds, at most ${LONGEST_LEAP_MILLIS} (10 years), not '${String(millis)}'`);
    }
    await this.#exclusively(() => this.#host.fastForward(Math.round(millis * 1000), () => this.#closed !== undefined));
  }

  /** A fresh, empty cluster for the next test. Connections that were open end. */
  async reset(): Promise<void> {
    await this.#exclusively(async () => {
      await this.#host.discard();
      await this.#store?.clear();
      this.#broken = undefined;
      this.#breakdowns = 0;
      await this.#boot();
    });
  }

  /** Ends connections, writes what is to be written and gives the store back. May be called again. */
  close(): Promise<void> {
    return (this.#closed ??= this.#shutDown());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  on<E extends keyof KafkaShoreEvents>(event: E, listener: KafkaShoreEvents[E]): this {
    if (!(event in this.#listeners)) {
      throw new InvalidOptionError(`there is no event '${String(event)}'; there are ${Object.keys(this.#listeners).join(', ')}`);
    }
    this.#listeners[event].add(listener);
    return this;
  }

  off<E extends keyof KafkaShoreEvents>(event: E, listener: KafkaShoreEvents[E]): this {
    this.#listeners[event]?.delete(listener);
    return this;
  }

  #emit<E extends keyof KafkaShoreEvents>(event: E, value: Parameters<KafkaShoreEvents[E]>[0]): void {
    for (const listener of this.#listeners[event]) (listener as (value: unknown) => void)(value);
  }

  async #ask<T>(question: (socket: FrameSocket) => Promise<T>): Promise<T> {
    await this.#work.catch(() => undefined);
    const socket = this.#connect();
    try {
      return await question(socket);
    } finally {
      socket.destroy();
    }
  }

  #connect(): ShoreSocket {
    if (this.#closed) throw new ClosedError();
    const line: Line = this.#host;
    const peer = {
      data: (bytes: Uint8Array) => void socket.emit('data', this.#platform.buffer(bytes)),
      ended: () => socket.ended(),
    };
    const socket: ShoreSocket = new ShoreSocket(line, this.#host.connect(peer, '127.0.0.1', true));
    if (this.#broken) socket.destroy(this.#broken);
    return socket;
  }

  /** A store is as a kill left it, and the broker starts again on it; unless it breaks again and again. */
  #recover(error: CoreFailedError): void {
    this.#emit('error', error);
    if (!this.#store || ++this.#breakdowns > BREAKDOWNS) this.#broken = error;
    else void this.#exclusively(() => this.#boot()).catch(() => (this.#broken ??= error));
  }

  async #boot(): Promise<void> {
    const { host, port } = this.#advertised;
    await this.#host.boot({ ...this.#options, advertisedHost: host, advertisedPort: port });
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new ClosedError();
    const turn = this.#work.catch(() => undefined).then(() => {
      if (this.#closed) throw new ClosedError();
      return work();
    });
    this.#work = turn;
    return turn;
  }

  async #shutDown(): Promise<void> {
    await this.#work.catch(() => undefined);
    await this.#listener?.close();
    this.#listener = undefined;
    await this.#host.stop();
    await this.#store?.close();
  }
}

function readOptions(options: CreateOptions, memory: boolean): Omit<CoreOptions, 'clusterId' | 'seed'> {
  const known = ['config', 'durability', 'memoryBytes', 'wasm'];
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new InvalidOptionError(`there is no option '${unknown}'; there are ${known.join(', ')}`);
  const { config = {}, durability = memory ? 'memory' : 'written', memoryBytes = 1 << 30 } = options;
  if (!['memory', 'written', 'synced'].includes(durability)) {
    throw new InvalidOptionError(`durability is 'memory', 'written' or 'synced', not '${String(durability)}'`);
  }
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes <= 0) {
    throw new InvalidOptionError(`memoryBytes is a number of bytes, not '${String(memoryBytes)}'`);
  }
  const configs: Record<string, string> = { ...ONE_NODE };
  for (const [name, value] of Object.entries(config)) configs[name] = String(value);
  return {
    advertisedHost: IN_PROCESS.host,
    advertisedPort: IN_PROCESS.port,
    durability,
    memory,
    memoryBytes,
    maxFrameBytes: MAX_FRAME_BYTES,
    configs,
  };
}

/** As Kafka makes them: 16 random bytes, such that the text does not look like a flag. */
function freshClusterId(platform: Platform): string {
  for (;;) {
    const text = btoa(String.fromCharCode(...platform.randomBytes(16)));
    const id = text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
    if (!id.startsWith('-')) return id;
  }
}

/** An address that clients can connect to: not one that means every address of the machine. */
function advertisable(host: string): string {
  return host === '0.0.0.0' || host === '::' ? 'localhost' : host;
}
