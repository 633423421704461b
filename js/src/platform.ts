import { InvalidOptionError } from './errors.js';
import type { ClusterHost } from './host.js';
import type { Store } from './store/store.js';
import type { StoreUri } from './uri.js';
import type { Listener, ListenOptions, WasmSource } from './types.js';

/** What differs between Node and a browser. */
export interface Platform {
  openStore(uri: StoreUri): Promise<Store>;
  listen(host: ClusterHost, options: ListenOptions): Promise<Listener>;
  /** The same bytes as what clients of this platform expect them to be. */
  buffer(bytes: Uint8Array): Uint8Array;
  /** Calls back once, soon, after other events had their turn. */
  soon(callback: () => void): void;
  randomBytes(length: number): Uint8Array;
  sleep(callback: () => void, millis: number): Sleep;
}

export interface Sleep {
  cancel(): void;
  /** Whether it keeps the process alive. */
  hold(held: boolean): void;
}

let platform: Platform | undefined;
let ownWasm: (() => Promise<WasmSource>) | undefined;
/** Compiled once: all clusters of a process run the same code. */
let module: Promise<WebAssembly.Module> | undefined;

/** For the entries of the package: says where it runs and, unless it is the slim one, where its wasm is. */
export function provide(provided: Platform, wasm?: () => Promise<WasmSource>): void {
  platform = provided;
  ownWasm ??= wasm;
}

export function currentPlatform(): Platform {
  return platform!;
}

export function loadModule(given?: WasmSource): Promise<WebAssembly.Module> {
  module ??= compile(given).catch((error: unknown) => {
    module = undefined;
    throw error;
  });
  return module;
}

async function compile(given: WasmSource | undefined): Promise<WebAssembly.Module> {
  const source = given ?? ownWasm;
  if (!source) {
    throw new InvalidOptionError("kafka-shore/slim needs the option 'wasm': the bytes of kafka-shore/kafka-shore.wasm");
  }
  const code = await (typeof source === 'function' ? source() : source);
  if (code instanceof WebAssembly.Module) return code;
  if (typeof Response === 'undefined' || !(code instanceof Response)) return WebAssembly.compile(code as BufferSource);
  if (!code.ok) throw new InvalidOptionError(`${code.url} cannot be loaded: ${code.status} ${code.statusText}`);
  return WebAssembly.compile(await code.arrayBuffer());
}
