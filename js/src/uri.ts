import { InvalidUriError } from './errors.js';

/** Where a cluster keeps its files. */
export type StoreUri =
  | { readonly kind: 'memory'; readonly text: string }
  | { readonly kind: 'idb'; readonly text: string; readonly name: string }
  | { readonly kind: 'file'; readonly text: string; readonly path: string };

const RIGHT = "Use 'memory://', 'idb://name' (in a browser) or 'file://directory' (in Node).";

export function parseUri(uri: unknown): StoreUri {
  if (typeof uri !== 'string') {
    throw new InvalidUriError(`A store is named by a string, not by ${uri === null ? 'null' : typeof uri}. ${RIGHT}`);
  }
  const [, scheme, rest] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(uri) ?? [];
  switch (scheme) {
    case 'memory':
      if (rest) throw new InvalidUriError(`'${uri}' names a store in memory, which has no name. Use 'memory://'.`);
      return { kind: 'memory', text: uri };
    case 'idb':
      if (!rest || /[/\\\s]/.test(rest)) {
        throw new InvalidUriError(`'${uri}' needs a name without slashes or spaces. Use 'idb://orders', for example.`);
      }
      return { kind: 'idb', text: uri, name: rest };
    case 'file':
      if (!rest || rest.includes('\0')) {
        throw new InvalidUriError(`'${uri}' needs a directory. Use 'file://./data' or 'file:///var/lib/shore'.`);
      }
      return { kind: 'file', text: uri, path: rest };
    default:
      throw new InvalidUriError(`'${uri}' names no store that kafka-shore knows. ${RIGHT}`);
  }
}
