// The worker of bench.mjs: times rounds of both sides in turn, a first one unmeasured.
import init, { Tab, records, request } from './bench_wasm.js';

onmessage = ({ data }) =>
  measure(data).then(postMessage, (error) => postMessage({ error: String(error.stack ?? error) }));

/** Milliseconds of each round of both sides, and the bytes of a batch. */
async function measure({ size, count, rounds }) {
  await init();
  const batch = records(size);
  const frame = request(batch);
  const tab = await Tab.open(`node-${size}`);
  const put = await openRaw(`raw-${size}`);
  const node = [];
  const raw = [];
  // A batch's header says at byte 57 how many records it holds.
  const perBatch = new DataView(batch.buffer, batch.byteOffset).getInt32(57);
  let expected = 0;
  for (let round = 0; round <= rounds; round++) {
    const begun = performance.now();
    for (let i = 0; i < count; i++) {
      const offset = await tab.append(frame);
      if (offset !== expected) throw new Error(`a batch at offset ${offset} instead of ${expected}`);
      expected += perBatch;
    }
    const between = performance.now();
    for (let i = 0; i < count; i++) await put(batch);
    const ended = performance.now();
    if (round === 0) continue;
    node.push(between - begun);
    raw.push(ended - between);
  }
  return { bytes: batch.length, node, raw };
}

/** A function that puts bytes behind those before them, as the node's own store keys them. */
async function openRaw(name) {
  const opening = indexedDB.open(name);
  const database = await new Promise((opened, failed) => {
    opening.onupgradeneeded = () => opening.result.createObjectStore('chunks');
    opening.onsuccess = () => opened(opening.result);
    opening.onerror = () => failed(opening.error);
  });
  let position = 0;
  return (bytes) =>
    new Promise((done, failed) => {
      const transaction = database.transaction('chunks', 'readwrite', { durability: 'relaxed' });
      transaction.objectStore('chunks').put(bytes, [1, position]);
      position += bytes.length;
      transaction.oncomplete = done;
      transaction.onabort = () => failed(transaction.error);
    });
}
