import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';

import { StoreFailedError, StoreLockedError, messageOf, type StoreHolder } from '../errors.js';

/** Beside the `.lock` of the `shore` command, which keeps a lock of the operating system on that. */
const LOCK_FILE = '.lock.node';

/** What the lock file says of the process that made it. */
interface Claim {
  readonly pid: number;
  readonly host: string;
  readonly since: number;
}

/** Directories that this process holds, over all copies of this module in it. */
const HELD: Set<string> = ((globalThis as Record<symbol, unknown>)[Symbol.for('kafka-shore.directories')] ??=
  new Set<string>()) as Set<string>;

/**
 * Keeps a second cluster from a directory: a file that names the holder. One that a dead process of
 * this machine left behind is taken over; that of another machine is believed.
 */
export class DirectoryLock {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  static async acquire(uri: string, directory: string): Promise<DirectoryLock> {
    const root = await fs.realpath(directory);
    const file = path.join(root, LOCK_FILE);
    const claim: Claim = { pid: process.pid, host: os.hostname(), since: Date.now() };
    // Written whole under a name of its own, then linked: nobody reads half a claim.
    const draft = `${file}.${claim.pid}.${Math.random().toString(36).slice(2)}`;
    if (HELD.has(root)) throw new StoreLockedError(uri, holderOf(claim));
    HELD.add(root);
    try {
      await fs.writeFile(draft, `${JSON.stringify(claim)}\n`);
      for (;;) {
        try {
          await fs.link(draft, file);
          break;
        } catch (error) {
          if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
        }
        await removeIfAbandoned(uri, file, draft);
      }
      // Looked for when our own claim can be seen: the native broker does it the same way round, so
      // that one of two sees the other.
      const native = await nativeHolder(root);
      if (native !== undefined) {
        await fs.rm(file, { force: true });
        throw new StoreLockedError(uri, { description: `process ${native} on ${claim.host}`, pid: native, host: claim.host });
      }
      return new DirectoryLock(root);
    } catch (error) {
      HELD.delete(root);
      throw error instanceof StoreLockedError
        ? error
        : new StoreFailedError(`cannot lock the directory ${root}: ${messageOf(error)}`, error);
    } finally {
      await fs.rm(draft, { force: true });
    }
  }

  /** Whether a directory's entry belongs to the lock and not to the store. */
  owns(entry: string): boolean {
    return entry === '.lock' || entry.startsWith('.lock.');
  }

  async release(): Promise<void> {
    if (!HELD.delete(this.#root)) return;
    await fs.rm(path.join(this.#root, LOCK_FILE), { force: true });
  }
}

/**
 * The process of the `shore` command that holds the directory: it locks the file `.lock`, which only
 * the system knows of, and only Linux tells.
 */
async function nativeHolder(root: string): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const { dev, ino } = await fs.stat(path.join(root, '.lock'));
    const hex = (number: number): string => number.toString(16).padStart(2, '0');
    const device = `${hex((dev >> 8) & 0xfff)}:${hex((dev & 0xff) | ((dev >> 12) & 0xfff00))}`;
    const locks = await fs.readFile('/proc/locks', 'utf8');
    const [, pid] = new RegExp(`FLOCK .* (\\d+) ${device}:${ino} `).exec(locks) ?? [];
    return pid === undefined ? undefined : Number(pid);
  } catch {
    return undefined;
  }
}

/** Returns once the file is gone because its holder is; throws while the holder lives. */
async function removeIfAbandoned(uri: string, file: string, draft: string): Promise<void> {
  const text = await fs.readFile(file, 'utf8').catch(() => '');
  if (text === '') return;
  const claim = parseClaim(text);
  if (claim && isAlive(claim)) throw new StoreLockedError(uri, holderOf(claim));
  // Two processes may find the same dead holder. Each moves aside what it finds; the one that
  // moved a living claim puts it back.
  const aside = `${draft}.abandoned`;
  try {
    await fs.rename(file, aside);
  } catch {
    return;
  }
  if ((await fs.readFile(aside, 'utf8')) !== text) await fs.link(aside, file).catch(() => undefined);
  await fs.rm(aside, { force: true });
}

function parseClaim(text: string): Claim | undefined {
  try {
    const claim = JSON.parse(text) as Partial<Claim>;
    if (Number.isInteger(claim.pid) && typeof claim.host === 'string') return { since: 0, ...claim } as Claim;
  } catch {
    // Not ours: a torn file of a machine that lost power.
  }
  return undefined;
}

function isAlive({ pid, host }: Claim): boolean {
  if (host !== os.hostname()) return true;
  // Containers give the same id again and again: this process knows what it holds.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code === 'EPERM';
  }
}

function holderOf({ pid, host, since }: Claim): StoreHolder {
  const own = pid === process.pid && host === os.hostname();
  return { description: own ? 'this process' : `process ${pid} on ${host}`, pid, host, since };
}
