// The page that runs the suite of the storage seam on IndexedDB.

import cases from '../../crates/log/src/suite/cases.txt';
import { IdbStore } from '../src/store/idb.ts';
import { runSuite } from '../test/suite.mjs';

try {
  const count = await runSuite(cases, (name) => IdbStore.open(`idb://${name}`, name));
  if (count <= 20) throw new Error(`only ${count} cases`);
  await mergesSmallAppends();
  document.title = 'ok';
} catch (error) {
  document.title = String(error?.stack ?? error);
}

/** Thousands of small appends become few values, none of which is read for it, and read as one file all the while. */
async function mergesSmallAppends() {
  let store = await IdbStore.open('idb://small', 'small');
  const piece = (i) => new Uint8Array(100).fill(i % 251);
  const append = (i) => store.store([{ op: 'append', file: 't/a', position: i * 100, bytes: piece(i) }]);
  const reads = countReads();
  for (let i = 0; i < 1000; i++) await append(i);
  if (reads.of('chunks') > 0) throw new Error(`chunks were read ${reads.of('chunks')} times`);
  const values = await new Promise((resolve, reject) => {
    const request = indexedDB.open('small');
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const keys = request.result.transaction('chunks').objectStore('chunks').getAllKeys();
      keys.onerror = () => reject(keys.error);
      keys.onsuccess = () => {
        request.result.close();
        resolve(keys.result.length);
      };
    };
  });
  if (values > 3 + 232) throw new Error(`${values} values`);
  await store.store([{ op: 'truncate', file: 't/a', length: 99_900 }]);
  for (let i = 999; i < 1300; i++) await append(i);
  await store.close();
  store = await IdbStore.open('idb://small', 'small');
  const [bytes] = await store.load([{ file: 't/a', position: 0, length: 200_000 }]);
  if (bytes.length !== 130_000) throw new Error(`${bytes.length} bytes`);
  bytes.forEach((byte, at) => {
    if (byte !== Math.floor(at / 100) % 251) throw new Error(`another byte at ${at}`);
  });
  await store.close();
}

/** How often the values of an object store are read from now on. */
function countReads() {
  const counts = new Map();
  for (const method of ['get', 'getAll']) {
    const original = IDBObjectStore.prototype[method];
    IDBObjectStore.prototype[method] = function (...query) {
      counts.set(this.name, (counts.get(this.name) ?? 0) + 1);
      return original.apply(this, query);
    };
  }
  return { of: (name) => counts.get(name) ?? 0 };
}
