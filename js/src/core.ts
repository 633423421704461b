import { ByteReader, ByteWriter } from './bytes.js';
import { CoreFailedError, InvalidOptionError, messageOf } from './errors.js';
import type { FileEntry, ReadRange, StoreOp } from './store/store.js';
import { Cluster, initSync, take_panic } from './wasm/kafka_shore.js';

/** What the core is told at a turn. The numbers are those of `crates/js/src/codec.rs`. */
const INPUT = { connect: 1, data: 2, disconnect: 3, stored: 4, loaded: 5, listed: 6, stop: 7 } as const;
const OUTPUT = { respond: 1, close: 2, store: 3, load: 4, list: 5, log: 6, ready: 7, stopped: 8, mute: 9 } as const;
const OPS = ['append', 'truncate', 'replace', 'rename', 'renameDirectory', 'delete', 'deleteDirectory', 'sync'] as const;
const RESULT = { ok: 0, full: 1, notFound: 2, failed: 3 } as const;

/** What a cluster of one node is, as `crates/js/src/options.rs` reads it. */
export interface CoreOptions {
  readonly advertisedHost: string;
  readonly advertisedPort: number;
  readonly durability: 'memory' | 'written' | 'synced';
  /** Whether the files live in the core's memory, or with the host. */
  readonly memory: boolean;
  readonly memoryBytes: number;
  readonly maxFrameBytes: number;
  /** As Kafka writes it: 22 characters. */
  readonly clusterId: string;
  /** From the host's source of randomness. */
  readonly seed: bigint;
  readonly configs: Readonly<Record<string, string>>;
}

export type StoreRequest = { readonly node: number; readonly token: bigint } & (
  | { readonly kind: 'store'; readonly ops: StoreOp[] }
  | { readonly kind: 'load'; readonly reads: ReadRange[] }
  | { readonly kind: 'list'; readonly directory: string }
);

export type Failure =
  | { readonly kind: 'full'; readonly message: string }
  | { readonly kind: 'notFound'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

/** Whoever carries out what the core wants done. */
export interface CoreHandler {
  respond(connection: number, bytes: Uint8Array): void;
  close(connection: number, reason: string): void;
  /** Whether to stop reading from a connection that has sent too much ahead of its answers. */
  mute(connection: number, muted: boolean): void;
  store(request: StoreRequest): void;
  log(line: string): void;
  ready(): void;
  stopped(): void;
}

/** Inputs collected until the next turn: one crossing for all of them. */
export class Inputs {
  readonly #out = new ByteWriter();

  get empty(): boolean {
    return this.#out.length === 0;
  }

  get length(): number {
    return this.#out.length;
  }

  connect(connection: number, peer: string): void {
    this.#out.u8(INPUT.connect);
    this.#out.u32(connection);
    this.#out.string(peer);
  }

  /** Bytes of a connection's stream, cut anywhere. They are copied. */
  data(connection: number, bytes: Uint8Array): void {
    this.#out.u8(INPUT.data);
    this.#out.u32(connection);
    this.#out.bytes(bytes);
  }

  disconnect(connection: number): void {
    this.#out.u8(INPUT.disconnect);
    this.#out.u32(connection);
  }

  stored(request: StoreRequest, failure?: Failure): void {
    this.#reply(INPUT.stored, request, failure);
  }

  loaded(request: StoreRequest, loaded: readonly Uint8Array[]): void {
    this.#reply(INPUT.loaded, request);
    this.#out.u32(loaded.length);
    for (const bytes of loaded) this.#out.bytes(bytes);
  }

  listed(request: StoreRequest, entries: readonly FileEntry[]): void {
    this.#reply(INPUT.listed, request);
    this.#out.u32(entries.length);
    for (const { file, length } of entries) {
      this.#out.string(file);
      this.#out.u64(BigInt(length));
    }
  }

  failed(request: StoreRequest, failure: Failure): void {
    this.#reply(request.kind === 'load' ? INPUT.loaded : request.kind === 'list' ? INPUT.listed : INPUT.stored, request, failure);
  }

  stop(): void {
    this.#out.u8(INPUT.stop);
  }

  /** Appends everything that `other` holds, and empties it. */
  take(other: Inputs): void {
    this.#out.raw(other.#out.written());
    other.#out.clear();
  }

  written(): Uint8Array {
    return this.#out.written();
  }

  clear(): void {
    this.#out.clear();
  }

  #reply(kind: number, { node, token }: StoreRequest, failure?: Failure): void {
    this.#out.u8(kind);
    this.#out.u32(node);
    this.#out.u64(token);
    this.#out.u8(failure ? RESULT[failure.kind] : RESULT.ok);
    if (failure) this.#out.string(failure.message);
  }
}

/** The broker: a state machine in WebAssembly that a host drives turn by turn. */
export class Core {
  #cluster: Cluster | undefined;

  /** `module` is compiled once; every cluster of a process lives in the one instance of it. */
  constructor(module: WebAssembly.Module, options: CoreOptions, wallOffset: number) {
    initSync({ module });
    try {
      this.#cluster = new Cluster(encodeOptions(options), wallOffset);
    } catch (error) {
      // The core names what is wrong with an option; anything else is a trap.
      throw typeof error === 'string' ? new InvalidOptionError(error) : failure(error);
    }
  }

  /**
   * Feeds the inputs at a moment, in microseconds of the cluster's own time, and hands everything
   * that follows to `handler`. Returns when the core wants to be woken, or nothing if it does not.
   */
  turn(now: number, wallOffset: number, inputs: Inputs, handler: CoreHandler): number | undefined {
    const cluster = this.#cluster;
    if (!cluster) throw new CoreFailedError('The cluster has failed before.');
    let output: Uint8Array;
    try {
      output = cluster.turn(now, wallOffset, inputs.written());
    } catch (error) {
      // What is left of the cluster must not be touched again, not even to free it.
      this.#cluster = undefined;
      throw failure(error);
    }
    inputs.clear();
    return handOut(new ByteReader(output), handler);
  }

  /** Another broker over the files that are kept in memory, as after a kill. */
  restart(options: CoreOptions, wallOffset: number): void {
    this.#cluster!.restart(encodeOptions(options), wallOffset);
  }

  free(): void {
    this.#cluster?.free();
    this.#cluster = undefined;
  }
}

function failure(error: unknown): CoreFailedError {
  const panic = take_panic();
  return new CoreFailedError(`The broker failed, which is a bug in kafka-shore: ${panic ?? messageOf(error)}`, error);
}

function encodeOptions(options: CoreOptions): Uint8Array {
  const out = new ByteWriter();
  out.string(options.advertisedHost);
  out.u32(options.advertisedPort);
  out.u8(['memory', 'written', 'synced'].indexOf(options.durability));
  out.u8(options.memory ? 1 : 0);
  out.u64(BigInt(options.memoryBytes));
  out.u32(options.maxFrameBytes);
  out.string(options.clusterId);
  out.u64(options.seed);
  const configs = Object.entries(options.configs);
  out.u32(configs.length);
  for (const [name, value] of configs) {
    out.string(name);
    out.string(value);
  }
  return out.written().slice();
}

function handOut(output: ByteReader, handler: CoreHandler): number | undefined {
  const due = output.f64();
  while (!output.done) {
    const kind = output.u8();
    switch (kind) {
      case OUTPUT.respond:
        handler.respond(output.u32(), output.bytes());
        break;
      case OUTPUT.close:
        handler.close(output.u32(), output.string());
        break;
      case OUTPUT.mute:
        handler.mute(output.u32(), output.u8() === 1);
        break;
      case OUTPUT.store:
      case OUTPUT.load:
      case OUTPUT.list:
        handler.store(readRequest(kind, output));
        break;
      case OUTPUT.log:
        handler.log(output.string());
        break;
      case OUTPUT.ready:
        handler.ready();
        break;
      case OUTPUT.stopped:
        handler.stopped();
        break;
      default:
        throw new CoreFailedError(`The core and its host do not fit together: output ${kind}.`);
    }
  }
  return due < 0 ? undefined : due;
}

function readRequest(kind: number, output: ByteReader): StoreRequest {
  const head = { node: output.u32(), token: output.u64() };
  if (kind === OUTPUT.list) return { ...head, kind: 'list', directory: output.string() };
  const count = output.u32();
  if (kind === OUTPUT.load) {
    const reads: ReadRange[] = [];
    for (let i = 0; i < count; i++) reads.push({ file: output.string(), position: output.size(), length: output.size() });
    return { ...head, kind: 'load', reads };
  }
  const ops: StoreOp[] = [];
  for (let i = 0; i < count; i++) ops.push(readOp(output));
  return { ...head, kind: 'store', ops };
}

function readOp(output: ByteReader): StoreOp {
  const op = OPS[output.u8()];
  switch (op) {
    case 'append':
      return { op, file: output.string(), position: output.size(), bytes: output.bytes() };
    case 'truncate':
      return { op, file: output.string(), length: output.size() };
    case 'replace':
      return { op, file: output.string(), bytes: output.bytes() };
    case 'rename':
    case 'renameDirectory':
      return { op, from: output.string(), to: output.string() };
    case 'delete':
      return { op, file: output.string() };
    case 'deleteDirectory':
      return { op, directory: output.string() };
    case 'sync':
      return { op };
    default:
      throw new CoreFailedError('The core and its host do not fit together: an unknown store operation.');
  }
}
