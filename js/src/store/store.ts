/**
 * The storage seam as the hosts see it: named files behind requests, as `shore_log::storage` has it.
 * Requests are carried out in the order of their emission, the ops of one in theirs.
 */

export type StoreOp =
  /** Writes at `position`, which is the file's end; creates the file at position 0. */
  | { readonly op: 'append'; readonly file: string; readonly position: number; readonly bytes: Uint8Array }
  /** Cuts the file. No effect on one that is absent or no longer than that. */
  | { readonly op: 'truncate'; readonly file: string; readonly length: number }
  /** Makes the file hold exactly `bytes`: all of them or, after a crash, what it held before. */
  | { readonly op: 'replace'; readonly file: string; readonly bytes: Uint8Array }
  /** Moves a file, over another one if there is one. No effect on one that is absent. */
  | { readonly op: 'rename'; readonly from: string; readonly to: string }
  | { readonly op: 'renameDirectory'; readonly from: string; readonly to: string }
  | { readonly op: 'delete'; readonly file: string }
  | { readonly op: 'deleteDirectory'; readonly directory: string }
  /** Everything before it survives a loss of power once the request is answered. */
  | { readonly op: 'sync' };

export interface ReadRange {
  readonly file: string;
  readonly position: number;
  readonly length: number;
}

export interface FileEntry {
  readonly file: string;
  readonly length: number;
}

/** A backend. Its methods are called one after the other, never two at once. */
export interface Store {
  /** Carries out the ops of one or more requests; it may fail after any prefix of them. */
  store(ops: readonly StoreOp[]): Promise<void>;
  /** One entry per range; shorter where the file ends earlier. */
  load(reads: readonly ReadRange[]): Promise<Uint8Array[]>;
  /** The files below a directory, by name. */
  list(directory: string): Promise<FileEntry[]>;
  /** The cluster that the store belongs to; a new store gets `fresh`. */
  clusterId(fresh: string): Promise<string>;
  /** Deletes every file. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** A file that was asked for is not there. */
export class FileNotFound extends Error {
  constructor(readonly file: string) {
    super(`no such file: ${file}`);
  }
}

/** No space is left, or a quota is used up. */
export class StoreFull extends Error {}

/** Whether `file` lies somewhere below `directory`. */
export function isBelow(file: string, directory: string): boolean {
  return file.length > directory.length && file.startsWith(directory) && file[directory.length] === '/';
}

/** Refuses to create what a file system would not keep below its root; only a bug asks for it. */
export function checkName(name: string): void {
  for (const part of name.split('/')) {
    if (part === '' || part === '.' || part === '..' || /[\0\\]/.test(part)) throw new Error(`not a file's name: '${name}'`);
  }
}
