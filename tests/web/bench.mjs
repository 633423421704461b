// What a node in a tab makes of IndexedDB: node bench.mjs DIRECTORY [ROUNDS]
// DIRECTORY has the JavaScript and wasm that wasm-bindgen made of bench/wasm. Prints rows of the table of
// `cargo xtask bench`.
//
// Both sides run in a worker and are given the same batch of JavaScript bytes. The node gets it as a Produce request
// and acknowledges it when its store has written it; the peer puts it into an object store of its own. Each batch
// waits for the one before it, every transaction is relaxed, and both sides keep everything.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { EXECUTABLE, FLAGS } from './chromium.mjs';
import { serve } from './server.mjs';

const SIZES = [
  { label: '16 KiB', size: 16 << 10, count: 400 },
  { label: '1 MiB', size: 1 << 20, count: 32 },
];
const GOAL = '>= 0.5x';

const directory = resolve(process.argv[2]);
const rounds = Number(process.argv[3] ?? 7);
writeFileSync(join(directory, 'index.html'), '<!doctype html><title>bench</title><link rel="icon" href="data:,">');
copyFileSync(fileURLToPath(new URL('bench-worker.mjs', import.meta.url)), join(directory, 'bench-worker.js'));
const server = await serve(directory);
const profile = mkdtempSync(join(tmpdir(), 'shore-bench-'));
const browser = await chromium.launchPersistentContext(profile, { executablePath: EXECUTABLE, args: FLAGS });
try {
  const page = await browser.newPage();
  await page.goto(server.url);
  for (const { label, size, count } of SIZES) {
    const { bytes, node, raw } = await page.evaluate(runWorker, { size, count, rounds });
    const rate = (times) => (bytes * count) / median(times) / 1e3;
    const [ours, peer] = [rate(node), rate(raw)];
    console.log(
      `| a tab appends batches of ${label}: a node to plain IndexedDB | ` +
        `${ours.toFixed(1)} MB/s | ${peer.toFixed(1)} MB/s | ${(ours / peer).toFixed(2)}x | ${GOAL} |`,
    );
  }
} finally {
  await browser.close();
  await server.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}

/** Runs in the page; resolves to what its worker says. */
function runWorker(task) {
  return new Promise((done, failed) => {
    const worker = new Worker('/bench-worker.js', { type: 'module' });
    worker.onerror = (event) => failed(new Error(event.message));
    worker.onmessage = ({ data }) => (data.error ? failed(new Error(data.error)) : done(data));
    worker.postMessage(task);
  });
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
