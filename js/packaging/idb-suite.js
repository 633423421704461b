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

/** Thousands of small appends become few values, and read as one file all the while. */
async function mergesSmallAppends() {
  let store = await IdbStore.open('idb://small', 'small');
  const piece = (i) => new Uint8Array(100).fill(i % 251);
  for (let i = 0; i < 1000; i++) await store.store([{ op: 'append', file: 't/a', position: i * 100, bytes: piece(i) }]);
  await store.close();
  store = await IdbStore.open('idb://small', 'small');
  const [bytes] = await store.load([{ file: 't/a', position: 0, length: 200_000 }]);
  if (bytes.length !== 100_000) throw new Error(`${bytes.length} bytes`);
  bytes.forEach((byte, at) => {
    if (byte !== Math.floor(at / 100) % 251) throw new Error(`another byte at ${at}`);
  });
  await store.close();
}
