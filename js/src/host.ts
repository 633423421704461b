import { Clock } from './clock.js';
import { Core, Inputs, type CoreHandler, type CoreOptions, type Failure, type StoreRequest } from './core.js';
import { ClosedError, CoreFailedError, messageOf } from './errors.js';
import type { Platform, Sleep } from './platform.js';
import { FileNotFound, StoreFull, type Store, type StoreOp } from './store/store.js';

/** One end of a connection, as the host sees it. */
export interface Peer {
  data(bytes: Uint8Array): void;
  ended(): void;
  /** Whether to hold back what it has to send, where it can be held back. */
  mute?(muted: boolean): void;
}

interface Connection {
  readonly peer: Peer;
  held: boolean;
}

export interface HostEvents {
  log(line: string): void;
  failed(error: CoreFailedError): void;
}

/** At most this many ops are carried out together. */
const MERGED_OPS = 4096;
/** How long time is let pass before the event loop comes round. */
const BUSY_MILLIS = 8;

/**
 * Drives one cluster: collects what happens until the event loop comes round, takes one turn of the
 * core, and hands out what follows. With no clients it sleeps until something is due.
 */
export class ClusterHost implements CoreHandler {
  readonly #platform: Platform;
  readonly #module: WebAssembly.Module;
  readonly #store: Store | undefined;
  readonly #events: HostEvents;

  #core: Core | undefined;
  #clock = new Clock();
  #due: number | undefined;
  #sleep: Sleep | undefined;
  #turnPlanned = false;

  #inputs = new Inputs();
  /** What clients sent while the broker was not ready. */
  #waiting = new Inputs();
  #ready = false;
  #booting: { resolve(): void; reject(error: unknown): void } | undefined;
  #stopping: (() => void) | undefined;

  #connections = new Map<number, Connection>();
  #lastConnection = 0;
  #held = 0;

  #storeQueue: StoreRequest[] = [];
  #storeRun: Promise<void> = Promise.resolve();
  #storeBusy = false;
  /** Replies to requests of a core that is gone are dropped. */
  #generation = 0;

  constructor(platform: Platform, module: WebAssembly.Module, store: Store | undefined, events: HostEvents) {
    this.#platform = platform;
    this.#module = module;
    this.#store = store;
    this.#events = events;
  }

  /** Starts a broker over what the store holds, and resolves when it serves clients. */
  async boot(options: CoreOptions): Promise<void> {
    this.#clock = new Clock(this.#clock.ahead);
    if (this.#core) this.#core.restart(options, this.#clock.wallOffset);
    else this.#core = new Core(this.#module, options, this.#clock.wallOffset);
    const booted = new Promise<void>((resolve, reject) => (this.#booting = { resolve, reject }));
    this.#turn();
    await booted;
    this.#sleep?.hold(this.#isAwaited());
  }

  /**
   * Ends every connection and lets the broker write what it would otherwise have to recover. What is
   * kept in memory stays for the next boot.
   */
  async stop(): Promise<void> {
    this.#endConnections();
    if (this.#core && this.#ready) {
      const stopped = new Promise<void>((resolve) => (this.#stopping = resolve));
      this.#inputs.stop();
      this.#turn();
      await stopped;
    }
    await this.#halt();
  }

  /** Ends every connection and forgets the broker, as a kill would, and what it kept in memory. */
  async discard(): Promise<void> {
    this.#endConnections();
    this.#core?.free();
    this.#core = undefined;
    this.#clock = new Clock();
    await this.#halt();
  }

  /** The cluster's wall clock, in milliseconds. */
  get wall(): number {
    this.#clock.advance(this.#due);
    return this.#clock.wall;
  }

  /**
   * Lets the cluster's time pass as fast as the core and the store go, from one thing that is due to
   * the next. What clients do meanwhile takes its part in it. Ends early where `abandoned` says so.
   */
  async fastForward(micros: number, abandoned: () => boolean): Promise<void> {
    const core = this.#core;
    const end = this.#clock.advance(this.#due) + micros;
    let rested = performance.now();
    while (this.#clock.advance(this.#due) < end) {
      if (this.#turnPlanned || this.#storeBusy || performance.now() - rested > BUSY_MILLIS) {
        if (this.#storeBusy) await this.#storeRun;
        await new Promise<void>((resolve) => this.#platform.soon(resolve));
        rested = performance.now();
      } else {
        this.#clock.skipTo(Math.min(end, this.#due ?? end));
        this.#turn();
      }
      if (abandoned()) throw new ClosedError();
      if (core !== this.#core) throw new ClosedError('The broker ended while time was passing.');
    }
  }

  connect(peer: Peer, address: string, held: boolean): number {
    const connection = ++this.#lastConnection;
    this.#connections.set(connection, { peer, held: false });
    this.hold(connection, held);
    this.#clientInputs().connect(connection, address);
    this.#plan();
    return connection;
  }

  write(connection: number, bytes: Uint8Array): void {
    if (!this.#connections.has(connection)) return;
    this.#clientInputs().data(connection, bytes);
    this.#plan();
  }

  hangUp(connection: number): void {
    if (!this.#forget(connection)) return;
    this.#clientInputs().disconnect(connection);
    this.#plan();
  }

  hold(connection: number, held: boolean): void {
    const entry = this.#connections.get(connection);
    if (!entry || entry.held === held) return;
    entry.held = held;
    this.#held += held ? 1 : -1;
    this.#sleep?.hold(this.#isAwaited());
  }

  respond(connection: number, bytes: Uint8Array): void {
    const entry = this.#connections.get(connection);
    if (entry) callOut(() => entry.peer.data(bytes));
  }

  close(connection: number, reason: string): void {
    const entry = this.#forget(connection);
    if (!entry) return;
    this.log(`closed connection ${connection}: ${reason}`);
    callOut(() => entry.peer.ended());
  }

  mute(connection: number, muted: boolean): void {
    this.#connections.get(connection)?.peer.mute?.(muted);
  }

  log(line: string): void {
    callOut(() => this.#events.log(line));
  }

  ready(): void {
    this.#ready = true;
    this.#inputs.take(this.#waiting);
    this.#booting?.resolve();
    this.#booting = undefined;
    if (!this.#inputs.empty) this.#plan();
  }

  stopped(): void {
    this.#stopping?.();
    this.#stopping = undefined;
  }

  store(request: StoreRequest): void {
    if (!this.#core) return;
    this.#storeQueue.push(request);
    if (!this.#storeBusy) this.#storeRun = this.#runStore();
  }

  /** Answers of the store that are still to come belong to nobody. */
  async #halt(): Promise<void> {
    this.#generation++;
    this.#ready = false;
    this.#sleep?.cancel();
    this.#sleep = undefined;
    this.#due = undefined;
    this.#inputs = new Inputs();
    this.#storeQueue = [];
    this.#booting?.reject(new ClosedError('The cluster was closed while it was starting.'));
    this.#booting = undefined;
    this.#stopping?.();
    this.#stopping = undefined;
    if (this.#storeBusy) await this.#storeRun;
  }

  #clientInputs(): Inputs {
    return this.#ready ? this.#inputs : this.#waiting;
  }

  #plan(): void {
    if (this.#turnPlanned) return;
    this.#turnPlanned = true;
    this.#platform.soon(() => {
      this.#turnPlanned = false;
      this.#turn();
    });
  }

  #turn(): void {
    const core = this.#core;
    if (!core) return;
    const now = this.#clock.advance(this.#due);
    try {
      this.#due = core.turn(now, this.#clock.wallOffset, this.#inputs, this);
    } catch (error) {
      this.#fail(error instanceof CoreFailedError ? error : new CoreFailedError(messageOf(error), error));
      return;
    }
    if (core === this.#core) this.#rest();
  }

  /** Sleeps until something is due. Looks at the clock meanwhile, without waking the core. */
  #rest(): void {
    this.#sleep?.cancel();
    this.#sleep = undefined;
    if (this.#due === undefined) return;
    this.#sleep = this.#platform.sleep(() => {
      this.#sleep = undefined;
      if (this.#clock.advance(this.#due) >= this.#due!) this.#turn();
      else this.#rest();
    }, this.#clock.sleep(this.#due, this.#connections.size > 0));
    this.#sleep.hold(this.#isAwaited());
  }

  /** Whether somebody waits for the cluster, so that the process must not end before it answers. */
  #isAwaited(): boolean {
    return this.#held > 0 || this.#booting !== undefined || this.#stopping !== undefined;
  }

  /** A broken invariant of the core. Its store is as a kill would have left it. */
  #fail(error: CoreFailedError): void {
    const booting = this.#booting;
    this.#booting = undefined;
    void this.discard();
    booting?.reject(error);
    callOut(() => this.#events.failed(error));
  }

  #forget(connection: number): Connection | undefined {
    const entry = this.#connections.get(connection);
    if (!entry) return undefined;
    this.hold(connection, false);
    this.#connections.delete(connection);
    return entry;
  }

  #endConnections(): void {
    this.#waiting = new Inputs();
    for (const [connection, { peer }] of [...this.#connections]) {
      this.#forget(connection);
      callOut(() => peer.ended());
    }
  }

  async #runStore(): Promise<void> {
    this.#storeBusy = true;
    const generation = this.#generation;
    while (this.#storeQueue.length > 0) {
      const answers = await this.#carryOut(this.#nextRequests());
      if (generation !== this.#generation) break;
      for (const answer of answers) answer(this.#inputs);
      this.#plan();
    }
    this.#storeBusy = false;
  }

  /** One request, or as many neighbouring `store` requests as can be carried out together. */
  #nextRequests(): StoreRequest[] {
    const [first] = this.#storeQueue;
    if (first!.kind !== 'store') return this.#storeQueue.splice(0, 1);
    let count = 0;
    let ops = 0;
    for (const request of this.#storeQueue) {
      if (request.kind !== 'store' || (count > 0 && ops + request.ops.length > MERGED_OPS)) break;
      ops += request.ops.length;
      count++;
    }
    return this.#storeQueue.splice(0, count);
  }

  async #carryOut(requests: readonly StoreRequest[]): Promise<((inputs: Inputs) => void)[]> {
    const store = this.#store!;
    const [first] = requests;
    try {
      switch (first!.kind) {
        case 'load': {
          const loaded = await store.load(first!.reads);
          return [(inputs) => inputs.loaded(first!, loaded)];
        }
        case 'list': {
          const entries = await store.list(first!.directory);
          return [(inputs) => inputs.listed(first!, entries)];
        }
        case 'store': {
          const ops: StoreOp[] = [];
          for (const request of requests) if (request.kind === 'store') ops.push(...request.ops);
          await store.store(ops);
          return requests.map((request) => (inputs) => inputs.stored(request));
        }
      }
    } catch (error) {
      // Requests that were carried out together fail together: any prefix may have been done.
      const failure = failureOf(error);
      return requests.map((request) => (inputs) => inputs.failed(request, failure));
    }
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof FileNotFound) return { kind: 'notFound', message: error.file };
  if (error instanceof StoreFull) return { kind: 'full', message: error.message };
  return { kind: 'failed', message: messageOf(error) };
}

/** Runs a listener of the user: what it throws is the user's, and must not stop the turn. */
function callOut(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
