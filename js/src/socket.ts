/** What a socket needs of the cluster that it is connected to. */
export interface Line {
  /** The bytes are copied before this returns. */
  write(connection: number, bytes: Uint8Array): void;
  hangUp(connection: number): void;
  /** Whether an open connection keeps the process alive, as a TCP socket would. */
  hold(connection: number, held: boolean): void;
}

type Listener = (...args: never[]) => void;

/**
 * A connection to the cluster in this process, with as much of `net.Socket` as Kafka clients use.
 * Frames may be written in pieces or joined; responses are delivered one frame a time.
 */
export class ShoreSocket {
  readonly #line: Line;
  readonly #connection: number;
  readonly #listeners = new Map<string, Set<Listener>>();
  #open = true;

  constructor(line: Line, connection: number) {
    this.#line = line;
    this.#connection = connection;
  }

  get destroyed(): boolean {
    return !this.#open;
  }

  get writable(): boolean {
    return this.#open;
  }

  on(event: string, listener: Listener): this {
    const listeners = this.#listeners.get(event);
    if (listeners) listeners.add(listener);
    else this.#listeners.set(event, new Set([listener]));
    return this;
  }

  addListener(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  once(event: string, listener: Listener): this {
    const once = (...args: never[]): void => {
      this.off(event, once);
      listener(...args);
    };
    return this.on(event, once);
  }

  off(event: string, listener: Listener): this {
    this.#listeners.get(event)?.delete(listener);
    return this;
  }

  removeListener(event: string, listener: Listener): this {
    return this.off(event, listener);
  }

  removeAllListeners(event?: string): this {
    if (event === undefined) this.#listeners.clear();
    else this.#listeners.delete(event);
    return this;
  }

  emit(event: string, ...args: unknown[]): boolean {
    const listeners = this.#listeners.get(event);
    if (!listeners || listeners.size === 0) return false;
    for (const listener of [...listeners]) (listener as (...args: unknown[]) => void)(...args);
    return true;
  }

  /** Never full: what is written is copied into the cluster's next turn. */
  write(data: Uint8Array | string, encoding?: unknown, callback?: unknown): boolean {
    const done = typeof encoding === 'function' ? encoding : callback;
    if (this.#open) this.#line.write(this.#connection, typeof data === 'string' ? fromText(data, encoding) : data);
    if (typeof done === 'function') {
      const error = this.#open ? undefined : new Error('This socket has been ended');
      queueMicrotask(() => (done as (error?: Error) => void)(error));
    }
    return this.#open;
  }

  end(data?: Uint8Array | string, encoding?: unknown): this {
    if (data !== undefined) this.write(data, encoding);
    return this.destroy();
  }

  destroy(error?: Error): this {
    if (!this.#open) return this;
    this.#line.hangUp(this.#connection);
    this.ended(error);
    return this;
  }

  /** To be called by the cluster: the connection is no more, whoever ended it. */
  ended(error?: Error): void {
    if (!this.#open) return;
    this.#open = false;
    queueMicrotask(() => {
      if (error) this.emit('error', error);
      this.emit('end');
      this.emit('close', error !== undefined);
    });
  }

  ref(): this {
    if (this.#open) this.#line.hold(this.#connection, true);
    return this;
  }

  unref(): this {
    if (this.#open) this.#line.hold(this.#connection, false);
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }
}

function fromText(text: string, encoding: unknown): Uint8Array {
  if (encoding !== 'binary' && encoding !== 'latin1') return new TextEncoder().encode(text);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
