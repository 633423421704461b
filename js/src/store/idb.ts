import { StoreFailedError, StoreLockedError, StoreVersionError, messageOf, type StoreHolder } from '../errors.js';
import { FileNotFound, StoreFull, checkName, isBelow, type FileEntry, type ReadRange, type Store, type StoreOp } from './store.js';

/** Of the lock that whoever opens the store holds, the page of this project included. */
const lockName = (name: string): string => `kafka-shore store ${name}`;

const FORMAT_VERSION = 1;
const CLUSTER_ID = 'cluster.id';
/** Chunks below this are merged with their neighbours, once so many bytes of them lie at a file's end, or so many chunks. */
const SMALL_BYTES = 256 * 1024;
const MERGED_CHUNKS = 256;
/** So much is held for merging, in all files. Past it every run begins anew, and the chunks of the old ones stay small. */
const HELD_BYTES = 16 * 1024 * 1024;

/** A file as it is known in memory: `starts[i]` is the position of its chunk i. */
interface KnownFile {
  readonly id: number;
  starts: number[];
  length: number;
  run: Run;
}

/** Small chunks at a file's end, with their bytes, so that they can be written as one without being read. */
interface Run {
  readonly parts: Uint8Array[];
  length: number;
}

/**
 * Files in IndexedDB, laid out as the page of this project does it (`crates/web/src/store`): `names`
 * maps a file's name to an id, `chunks` holds its bytes by `[id, position]`, so that a rename moves
 * no bytes and an append does not rewrite what is there. Everything asked for in one turn is one
 * transaction, and is answered when that has completed.
 */
export class IdbStore implements Store {
  readonly #database: IDBDatabase;
  readonly #release: () => Promise<void>;
  readonly #epoch: number;
  readonly #files: Map<string, KnownFile>;
  #nextId: number;
  /** Bytes that runs were given since all of them began anew: at least what they hold. */
  #held = 0;
  #lost: string | undefined;

  private constructor(database: IDBDatabase, epoch: number, files: Map<string, KnownFile>, release: () => Promise<void>) {
    this.#database = database;
    this.#epoch = epoch;
    this.#files = files;
    this.#release = release;
    this.#nextId = 1 + Math.max(0, ...[...files.values()].map((file) => file.id));
    database.onclose = () => (this.#lost = 'the browser closed the database');
    // Somebody deletes the store: get out of the way instead of blocking it.
    database.onversionchange = () => {
      this.#lost = 'the store was deleted';
      database.close();
    };
  }

  static async open(uri: string, name: string): Promise<IdbStore> {
    if (typeof indexedDB === 'undefined') {
      throw new StoreFailedError(`${uri} cannot be opened: this runtime has no IndexedDB. Use 'memory://'.`);
    }
    const release = await acquireLock(uri, name);
    try {
      const database = await openDatabase(name);
      try {
        const epoch = await takeOver(database, uri);
        return new IdbStore(database, epoch, await readFiles(database), release);
      } catch (error) {
        database.close();
        throw error;
      }
    } catch (error) {
      await release();
      if (error instanceof StoreVersionError) throw error;
      throw new StoreFailedError(`${uri} cannot be opened: ${messageOf(error)}`, error);
    }
  }

  async store(ops: readonly StoreOp[]): Promise<void> {
    if (this.#lost) throw new Error(this.#lost);
    const before = new Map<string, KnownFile | undefined>();
    try {
      const durability = ops.some(({ op }) => op === 'sync') ? 'strict' : 'relaxed';
      await this.#write(durability, async (transaction) => {
        for (const op of ops) await this.#carryOut(op, transaction, before);
      });
    } catch (error) {
      // The transaction took everything back; so does what is known of the files.
      for (const [name, file] of before) {
        if (file) this.#files.set(name, file);
        else this.#files.delete(name);
      }
      throw (error as DOMException | undefined)?.name === 'QuotaExceededError' ? new StoreFull(messageOf(error)) : error;
    }
  }

  async load(reads: readonly ReadRange[]): Promise<Uint8Array[]> {
    const chunks = this.#database.transaction('chunks').objectStore('chunks');
    return Promise.all(
      reads.map(async ({ file: name, position, length }) => {
        const file = this.#files.get(name);
        if (!file) throw new FileNotFound(name);
        const end = Math.min(position + length, file.length);
        if (end <= position) return new Uint8Array(0);
        const first = chunkAt(file, position);
        const last = chunkAt(file, end - 1);
        const found = (await result(chunks.getAll(chunkRange(file, file.starts[first]!, file.starts[last]!)))) as Uint8Array[];
        const bytes = new Uint8Array(end - position);
        let at = file.starts[first]!;
        for (const chunk of found) {
          const from = Math.max(position, at);
          const to = Math.min(end, at + chunk.length);
          bytes.set(chunk.subarray(from - at, to - at), from - position);
          at += chunk.length;
        }
        return bytes;
      }),
    );
  }

  async clusterId(fresh: string): Promise<string> {
    const meta = this.#database.transaction('meta', 'readwrite').objectStore('meta');
    const known = (await result(meta.get(CLUSTER_ID))) as string | undefined;
    if (known === undefined) await result(meta.put(fresh, CLUSTER_ID));
    return known ?? fresh;
  }

  async list(directory: string): Promise<FileEntry[]> {
    const entries: FileEntry[] = [];
    for (const [file, { length }] of this.#files) if (isBelow(file, directory)) entries.push({ file, length });
    return entries.sort((a, b) => (a.file < b.file ? -1 : 1));
  }

  async clear(): Promise<void> {
    await this.#write('relaxed', async (transaction) => {
      transaction.objectStore('names').clear();
      transaction.objectStore('chunks').clear();
    });
    this.#files.clear();
  }

  async close(): Promise<void> {
    this.#database.onclose = null;
    this.#database.close();
    await this.#release();
  }

  /** One transaction that fails if another holder has opened the store since. */
  async #write(
    durability: IDBTransactionDurability,
    change: (transaction: IDBTransaction) => Promise<void>,
  ): Promise<void> {
    const transaction = this.#database.transaction(['meta', 'names', 'chunks'], 'readwrite', { durability });
    const completed = completion(transaction);
    completed.catch(() => undefined);
    try {
      if ((await result(transaction.objectStore('meta').get('epoch'))) !== this.#epoch) {
        this.#lost = 'the store was opened elsewhere';
        throw new Error(this.#lost);
      }
      await change(transaction);
      transaction.commit();
    } catch (error) {
      // Reported by the transaction if it was the reason, and by this otherwise.
      try {
        transaction.abort();
      } catch {
        await completed;
      }
      throw transaction.error ?? error;
    }
    await completed;
  }

  async #carryOut(op: StoreOp, transaction: IDBTransaction, before: Map<string, KnownFile | undefined>): Promise<void> {
    const names = transaction.objectStore('names');
    const chunks = transaction.objectStore('chunks');
    const files = this.#files;

    /** To be called before a file's entry changes. */
    const remember = (name: string): void => {
      if (before.has(name)) return;
      const file = files.get(name);
      before.set(name, file && { ...file, starts: [...file.starts], run: newRun() });
    };
    const create = (name: string): KnownFile => {
      checkName(name);
      remember(name);
      const file: KnownFile = { id: this.#nextId++, starts: [], length: 0, run: newRun() };
      files.set(name, file);
      names.put(file.id, name);
      return file;
    };
    const put = (file: KnownFile, position: number, bytes: Uint8Array): void => {
      chunks.put(own(bytes), [file.id, position]);
      if (file.starts[file.starts.length - 1] !== position) file.starts.push(position);
      file.length = position + bytes.length;
    };
    const cut = async (name: string, length: number): Promise<void> => {
      const file = files.get(name);
      if (!file || length >= file.length) return;
      remember(name);
      const index = length === 0 ? -1 : chunkAt(file, length - 1);
      const start = index < 0 ? 0 : file.starts[index]!;
      const kept =
        index < 0 ? undefined : ((await result(chunks.get([file.id, start]))) as Uint8Array).subarray(0, length - start);
      chunks.delete(chunkRange(file, start));
      file.starts.length = Math.max(index, 0);
      file.length = start;
      file.run = newRun();
      if (kept) put(file, start, kept);
    };
    const remove = (name: string): void => {
      const file = files.get(name);
      if (!file) return;
      remember(name);
      chunks.delete(chunkRange(file, 0));
      names.delete(name);
      files.delete(name);
    };
    const rename = (from: string, to: string): void => {
      const file = files.get(from);
      checkName(to);
      if (!file || from === to) return;
      remove(to);
      remember(from);
      remember(to);
      names.delete(from);
      names.put(file.id, to);
      files.delete(from);
      files.set(to, file);
    };
    const below = (directory: string): string[] => [...files.keys()].filter((name) => isBelow(name, directory));

    switch (op.op) {
      case 'append': {
        const known = files.get(op.file);
        const end = known?.length ?? 0;
        if (op.position !== end) throw new Error(`append at ${op.position} to ${op.file}, which ends at ${end}`);
        const file = known ?? create(op.file);
        if (op.bytes.length === 0) return;
        remember(op.file);
        return this.#append(file, op.bytes, chunks, put);
      }
      case 'truncate':
        return cut(op.file, op.length);
      case 'replace': {
        remove(op.file);
        const file = create(op.file);
        if (op.bytes.length > 0) put(file, 0, op.bytes);
        return;
      }
      case 'rename':
        return rename(op.from, op.to);
      case 'renameDirectory':
        for (const name of below(op.from)) rename(name, op.to + name.slice(op.from.length));
        return;
      case 'delete':
        return remove(op.file);
      case 'deleteDirectory':
        for (const name of below(op.directory)) remove(name);
        return;
      case 'sync':
        // The transaction is a strict one: it completes when the browser has flushed it. Any other
        // survives the death of tab and browser.
        return;
    }
  }

  /** A new key per append; small neighbours at the file's end are written as one when they are enough. */
  #append(
    file: KnownFile,
    bytes: Uint8Array,
    chunks: IDBObjectStore,
    put: (file: KnownFile, position: number, bytes: Uint8Array) => void,
  ): void {
    if (bytes.length >= SMALL_BYTES) {
      file.run = newRun();
      return put(file, file.length, bytes);
    }
    if (this.#held + bytes.length > HELD_BYTES) {
      this.#held = 0;
      for (const known of this.#files.values()) known.run = newRun();
    }
    this.#held += bytes.length;
    const { run } = file;
    run.parts.push(own(bytes));
    run.length += bytes.length;
    const isEnough = run.length >= SMALL_BYTES || run.parts.length >= MERGED_CHUNKS;
    if (!isEnough || run.parts.length === 1) return put(file, file.length, bytes);
    const start = file.length + bytes.length - run.length;
    const merged = new Uint8Array(run.length);
    let at = 0;
    for (const part of run.parts) {
      merged.set(part, at);
      at += part.length;
    }
    chunks.delete(chunkRange(file, start));
    file.starts.length -= run.parts.length - 1;
    file.run = newRun();
    put(file, start, merged);
  }
}

function newRun(): Run {
  return { parts: [], length: 0 };
}

/** Bytes that may be a view of a larger buffer, all of which would be kept, as what they are. */
function own(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
}

/** The index of the chunk that holds `position`. */
function chunkAt({ starts }: KnownFile, position: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}

function chunkRange({ id }: KnownFile, from: number, to: number = Number.MAX_SAFE_INTEGER): IDBKeyRange {
  return IDBKeyRange.bound([id, from], [id, to]);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completion(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
  });
}

async function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    for (const store of ['meta', 'names', 'chunks']) request.result.createObjectStore(store);
  };
  return result(request);
}

/** Checks the format and writes down who holds the store now, under a new epoch. */
async function takeOver(database: IDBDatabase, uri: string): Promise<number> {
  const transaction = database.transaction('meta', 'readwrite');
  const completed = completion(transaction);
  completed.catch(() => undefined);
  const meta = transaction.objectStore('meta');
  const format: unknown = await result(meta.get('format'));
  if (format !== undefined && !(typeof format === 'number' && format <= FORMAT_VERSION)) {
    transaction.abort();
    throw new StoreVersionError(uri, format, FORMAT_VERSION);
  }
  const epoch = 1 + (((await result(meta.get('epoch'))) as number | undefined) ?? 0);
  meta.put(FORMAT_VERSION, 'format');
  meta.put(epoch, 'epoch');
  meta.put(ownDescription(), 'holder');
  await completed;
  return epoch;
}

async function readFiles(database: IDBDatabase): Promise<Map<string, KnownFile>> {
  const transaction = database.transaction(['names', 'chunks']);
  const names = transaction.objectStore('names');
  const chunks = transaction.objectStore('chunks');
  const [texts, ids, keys] = await Promise.all([
    result(names.getAllKeys()),
    result(names.getAll()) as Promise<number[]>,
    result(chunks.getAllKeys()) as unknown as Promise<[number, number][]>,
  ]);
  const byId = new Map<number, KnownFile>();
  for (const id of ids) byId.set(id, { id, starts: [], length: 0, run: newRun() });
  for (const [id, position] of keys) byId.get(id)?.starts.push(position);
  await Promise.all(
    [...byId.values()].map(async (file) => {
      const last = file.starts[file.starts.length - 1];
      if (last !== undefined) file.length = last + ((await result(chunks.get([file.id, last]))) as Uint8Array).length;
    }),
  );
  return new Map(texts.map((text, index) => [text as string, byId.get(ids[index]!)!]));
}

/** Takes the store's Web Lock, or throws with the holder's description; returns what gives it back. */
async function acquireLock(uri: string, name: string): Promise<() => Promise<void>> {
  const locks = (globalThis.navigator as Navigator | undefined)?.locks;
  if (!locks) {
    throw new StoreFailedError(`${uri} cannot be opened: this page has no Web Locks. Serve it from https or localhost.`);
  }
  return new Promise((resolve, reject) => {
    const request = locks.request(lockName(name), { ifAvailable: true }, async (lock) => {
      if (!lock) throw new StoreLockedError(uri, await readHolder(name));
      await new Promise<void>((release) =>
        resolve(async () => {
          release();
          await request;
        }),
      );
    });
    request.catch(reject);
  });
}

function ownDescription(): StoreHolder {
  const location = (globalThis as { location?: { href: string } }).location;
  return { description: location ? `the page ${location.href}` : 'another page', since: Date.now() };
}

async function readHolder(name: string): Promise<StoreHolder> {
  try {
    const database = await openDatabase(name);
    try {
      const holder = (await result(database.transaction('meta').objectStore('meta').get('holder'))) as StoreHolder | undefined;
      return holder ?? { description: 'another tab' };
    } finally {
      database.close();
    }
  } catch {
    return { description: 'another tab' };
  }
}
