import type { Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';

import { StoreFailedError, messageOf } from '../errors.js';
import { DirectoryLock } from './lock.js';
import { FileNotFound, StoreFull, checkName, type FileEntry, type ReadRange, type Store, type StoreOp } from './store.js';

/** Files that stay open between requests; the one unused for longest is closed first. */
const OPEN_FILES = 128;
const TEMPORARY_SUFFIX = '.unfinished';
const CLUSTER_ID = 'cluster.id';

type Append = Extract<StoreOp, { readonly op: 'append' }>;

/** Buffers that go into one write; systems allow a thousand or so. */
const GATHERED = 64;

interface OpenFile {
  readonly handle: fs.FileHandle;
  length: number;
}

/** A directory of plain files, each under the name that the core gave it. */
export class FileStore implements Store {
  readonly #root: string;
  readonly #lock: DirectoryLock;
  readonly #files = new Map<string, OpenFile>();
  readonly #directories = new Set<string>();
  /** Files and directories that the next sync has to flush. */
  readonly #dirtyFiles = new Set<string>();
  readonly #dirtyDirectories = new Set<string>();

  private constructor(root: string, lock: DirectoryLock) {
    this.#root = root;
    this.#lock = lock;
  }

  /** Makes the directory if there is none, and locks it. */
  static async open(uri: string, directory: string): Promise<FileStore> {
    const root = path.resolve(directory);
    try {
      await fs.mkdir(root, { recursive: true });
      await fs.access(root, fs.constants.R_OK | fs.constants.W_OK);
    } catch (error) {
      throw new StoreFailedError(`cannot write to the directory ${root}: ${reasonOf(error)}`, error);
    }
    return new FileStore(root, await DirectoryLock.acquire(uri, root));
  }

  async store(ops: readonly StoreOp[]): Promise<void> {
    try {
      for (let at = 0; at < ops.length; ) {
        const first = ops[at]!;
        const row = first.op === 'append' ? appendsInARow(ops, at) : 1;
        await (first.op === 'append' ? this.#append(first.file, ops.slice(at, at + row) as Append[]) : this.#carryOut(first));
        at += row;
      }
    } catch (error) {
      throw isFull(error) ? new StoreFull(reasonOf(error)) : error;
    }
  }

  async load(reads: readonly ReadRange[]): Promise<Uint8Array[]> {
    const loaded: Uint8Array[] = [];
    for (const { file, position, length } of reads) loaded.push(await this.#read(file, position, length));
    return loaded;
  }

  async clusterId(fresh: string): Promise<string> {
    const file = path.join(this.#root, CLUSTER_ID);
    const known = (await orIfAbsent(fs.readFile(file, 'utf8'), '')).trim();
    if (known) return known;
    const draft = `${file}${TEMPORARY_SUFFIX}`;
    await writeAndSync(draft, `${fresh}\n`);
    await fs.rename(draft, file);
    return fresh;
  }

  async list(directory: string): Promise<FileEntry[]> {
    const entries: FileEntry[] = [];
    const visit = async (name: string): Promise<void> => {
      const children = await orIfAbsent(fs.readdir(this.#path(name), { withFileTypes: true }), []);
      for (const child of children) {
        const childName = `${name}/${child.name}`;
        if (child.isDirectory()) await visit(childName);
        else if (!child.name.endsWith(TEMPORARY_SUFFIX)) {
          const stats = await orIfAbsent<Stats | undefined>(fs.stat(this.#path(childName)), undefined);
          if (stats?.isFile()) entries.push({ file: childName, length: stats.size });
        }
      }
    };
    await visit(directory);
    return entries.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
  }

  async clear(): Promise<void> {
    await this.#closeFiles(() => true);
    this.#directories.clear();
    this.#dirtyFiles.clear();
    this.#dirtyDirectories.clear();
    for (const child of await fs.readdir(this.#root)) {
      if (child !== CLUSTER_ID && !this.#lock.owns(child)) await fs.rm(path.join(this.#root, child), { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {
    await this.#closeFiles(() => true);
    await this.#lock.release();
  }

  async #carryOut(op: Exclude<StoreOp, Append>): Promise<void> {
    switch (op.op) {
      case 'truncate':
        return this.#truncate(op.file, op.length);
      case 'replace':
        return this.#replace(op.file, op.bytes);
      case 'rename':
        await this.#forget(op.from);
        await this.#forget(op.to);
        return this.#move(op.from, op.to);
      case 'renameDirectory':
        return this.#renameDirectory(op.from, op.to);
      case 'delete':
        await this.#forget(op.file);
        await orIfAbsent(fs.unlink(this.#path(op.file)), undefined);
        this.#dirtyDirectories.add(path.dirname(this.#path(op.file)));
        return;
      case 'deleteDirectory':
        await this.#forgetBelow(op.directory);
        await fs.rm(this.#path(op.directory), { recursive: true, force: true });
        this.#dirtyDirectories.add(path.dirname(this.#path(op.directory)));
        return;
      case 'sync':
        return this.#sync();
    }
  }

  /** Appends to one file that follow one another: one write. */
  async #append(file: string, appends: readonly Append[]): Promise<void> {
    const open = await this.#open(file, true);
    let end = open.length;
    for (const { position, bytes } of appends) {
      if (position !== end) throw new Error(`append at ${position} to ${file}, which ends at ${end}`);
      end += bytes.length;
    }
    this.#dirtyFiles.add(file);
    let rest = appends.map(({ bytes }) => bytes);
    while (open.length < end) {
      const { bytesWritten } = await open.handle.writev(rest, open.length);
      open.length += bytesWritten;
      rest = without(rest, bytesWritten);
    }
  }

  async #truncate(file: string, length: number): Promise<void> {
    const open = await orIfAbsent<OpenFile | undefined>(this.#open(file, false), undefined);
    if (!open || open.length <= length) return;
    await open.handle.truncate(length);
    open.length = length;
    this.#dirtyFiles.add(file);
  }

  /** Flushed under another name first: after a crash the file is whole, old or new. */
  async #replace(file: string, bytes: Uint8Array): Promise<void> {
    await this.#forget(file);
    const target = this.#path(file);
    await this.#makeDirectory(path.dirname(target));
    const temporary = target + TEMPORARY_SUFFIX;
    await writeAndSync(temporary, bytes);
    await fs.rename(temporary, target);
    this.#dirtyDirectories.add(path.dirname(target));
  }

  async #move(from: string, to: string): Promise<void> {
    const [source, target] = [this.#path(from), this.#path(to)];
    await this.#makeDirectory(path.dirname(target));
    await orIfAbsent(fs.rename(source, target), undefined);
    this.#dirtyDirectories.add(path.dirname(source)).add(path.dirname(target));
  }

  async #renameDirectory(from: string, to: string): Promise<void> {
    await this.#forgetBelow(from);
    await this.#forgetBelow(to);
    const [source, target] = [this.#path(from), this.#path(to)];
    this.#dirtyDirectories.add(path.dirname(source)).add(path.dirname(target));
    if ((await orIfAbsent<Stats | undefined>(fs.stat(target), undefined)) === undefined) {
      await this.#makeDirectory(path.dirname(target));
      return orIfAbsent(fs.rename(source, target), undefined);
    }
    for (const { file } of await this.list(from)) await this.#move(file, to + file.slice(from.length));
    await fs.rm(source, { recursive: true, force: true });
  }

  async #sync(): Promise<void> {
    for (const file of this.#dirtyFiles) {
      const open = await orIfAbsent<OpenFile | undefined>(this.#open(file, false), undefined);
      await open?.handle.datasync();
    }
    this.#dirtyFiles.clear();
    if (process.platform !== 'win32') for (const directory of this.#dirtyDirectories) await syncDirectory(directory);
    this.#dirtyDirectories.clear();
  }

  async #read(file: string, position: number, length: number): Promise<Uint8Array> {
    const open = await orIfAbsent<OpenFile | undefined>(this.#open(file, false), undefined);
    if (!open) throw new FileNotFound(file);
    // A range is a claim; the file says how much of it there is.
    const bytes = new Uint8Array(Math.max(0, Math.min(length, open.length - position)));
    let read = 0;
    while (read < bytes.length) {
      const { bytesRead } = await open.handle.read(bytes, read, bytes.length - read, position + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return bytes.subarray(0, read);
  }

  async #open(file: string, create: boolean): Promise<OpenFile> {
    let open = this.#files.get(file);
    if (open) {
      this.#files.delete(file);
      this.#files.set(file, open);
      return open;
    }
    const target = this.#path(file);
    let handle: fs.FileHandle;
    try {
      handle = await fs.open(target, 'r+');
    } catch (error) {
      if (!create || !isAbsent(error)) throw error;
      await this.#makeDirectory(path.dirname(target));
      handle = await fs.open(target, 'w+');
      this.#dirtyDirectories.add(path.dirname(target));
    }
    open = { handle, length: (await handle.stat()).size };
    this.#files.set(file, open);
    for (const [oldest, unused] of this.#files) {
      if (this.#files.size <= OPEN_FILES) break;
      this.#files.delete(oldest);
      await unused.handle.close();
    }
    return open;
  }

  async #makeDirectory(directory: string): Promise<void> {
    if (this.#directories.has(directory)) return;
    const first = await fs.mkdir(directory, { recursive: true });
    if (first) this.#dirtyDirectories.add(path.dirname(first));
    this.#directories.add(directory);
  }

  async #forget(file: string): Promise<void> {
    this.#dirtyFiles.delete(file);
    const open = this.#files.get(file);
    this.#files.delete(file);
    await open?.handle.close();
  }

  async #forgetBelow(directory: string): Promise<void> {
    const below = `${directory}/`;
    await this.#closeFiles((file) => file.startsWith(below));
    for (const file of this.#dirtyFiles) if (file.startsWith(below)) this.#dirtyFiles.delete(file);
    // A deleted directory may be needed again, and a moved one is no longer there.
    this.#directories.clear();
  }

  async #closeFiles(which: (file: string) => boolean): Promise<void> {
    for (const [file, { handle }] of this.#files) {
      if (!which(file)) continue;
      this.#files.delete(file);
      await handle.close();
    }
  }

  /** The core names its files; a name that led out of the directory would be a bug. */
  #path(name: string): string {
    checkName(name);
    return path.join(this.#root, ...name.split('/'));
  }
}

function appendsInARow(ops: readonly StoreOp[], from: number): number {
  const first = ops[from] as Append;
  let to = from + 1;
  while (to < ops.length && to - from < GATHERED) {
    const op = ops[to]!;
    if (op.op !== 'append' || op.file !== first.file) break;
    to++;
  }
  return to - from;
}

/** What is left of `buffers` after their first `written` bytes. */
function without(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  for (const buffer of buffers) {
    if (written < buffer.length) rest.push(buffer.subarray(written));
    written = Math.max(0, written - buffer.length);
  }
  return rest;
}

async function writeAndSync(file: string, content: Uint8Array | string): Promise<void> {
  const handle = await fs.open(file, 'w');
  try {
    await handle.writeFile(content);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await orIfAbsent<fs.FileHandle | undefined>(fs.open(directory, 'r'), undefined);
  try {
    await handle?.sync();
  } finally {
    await handle?.close();
  }
}

async function orIfAbsent<T>(result: Promise<T>, absent: T): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (isAbsent(error)) return absent;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}

function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(String(codeOf(error)));
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is not a directory',
  EEXIST: 'a file of that name is in the way',
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the disk quota is used up',
};

function reasonOf(error: unknown): string {
  return REASONS[String(codeOf(error))] ?? messageOf(error);
}
