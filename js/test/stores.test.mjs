// The stores of the package answer as every backend of the seam does.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { runSuite } from './suite.mjs';

const js = fileURLToPath(new URL('..', import.meta.url));
const cases = readFileSync(join(js, '..', 'crates', 'log', 'src', 'suite', 'cases.txt'), 'utf8');
const base = mkdtempSync(join(tmpdir(), 'kafka-shore-stores-'));
after(() => rmSync(base, { recursive: true, force: true }));

const bundle = join(base, 'file-store.mjs');
await build({ entryPoints: [join(js, 'src', 'store', 'file.ts')], bundle: true, platform: 'node', format: 'esm', outfile: bundle });
const { FileStore } = await import(bundle);
const open = (name) => FileStore.open(`file://${name}`, join(base, name));

test('the file store passes the suite', async () => {
  assert.ok((await runSuite(cases, open)) > 20);
});

test('more files than may be open at once are served', async () => {
  const store = await open('many');
  const names = Array.from({ length: 300 }, (_, i) => `t/${String(i).padStart(3, '0')}`);
  for (const round of [0, 1]) {
    await store.store(names.map((file) => ({ op: 'append', file, position: round, bytes: Uint8Array.of(round) })));
  }
  assert.deepEqual(await store.list('t'), names.map((file) => ({ file, length: 2 })));
  const loaded = await store.load(names.map((file) => ({ file, position: 0, length: 9 })));
  assert.ok(loaded.every((bytes) => bytes[0] === 0 && bytes[1] === 1));
  await store.store([{ op: 'sync' }]);
  await store.close();
});

test('a replacement that was not finished leaves no trace in a listing', async () => {
  const store = await open('torn');
  await store.store([{ op: 'replace', file: 't/a', bytes: Uint8Array.of(1) }]);
  assert.deepEqual(readdirSync(join(base, 'torn', 't')), ['a']);
  await store.close();
});
