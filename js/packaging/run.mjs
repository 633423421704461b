// Packs the package and uses it as its users do, from the tarball, in each of its homes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { EXECUTABLE } from '../../tests/web/chromium.mjs';
import { inChromium } from './chromium.mjs';
import { checkContents } from './contents.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const js = join(here, '..');
const tools = join(js, 'node_modules');
const homes = join(js, '..', 'target', 'npm');

/** Returns what could not be tested here, and why. */
export async function packaging() {
  rmSync(homes, { recursive: true, force: true });
  mkdirSync(homes, { recursive: true });
  const tarball = pack();
  const skipped = [];

  await step('node, ESM', () => node(home('esm', tarball, ['kafkajs']), 'esm.mjs'));
  await step('node, CommonJS', () => node(home('cjs', tarball, ['kafkajs']), 'cjs.cjs'));
  await step('TypeScript, node16 and bundler', () => typescript(home('types', tarball, ['kafkajs', '@types'])));
  await step('Jest, with its search for open handles', () => jest(home('jest', tarball, ['kafkajs'])));

  const why = noChromium();
  if (why) {
    skipped.push(`the browser homes: ${why}`);
    return skipped;
  }
  await step('the suite of the storage seam on IndexedDB, in Chromium', async () => inChromium(await idbSuite()));
  await step('a plain module script, in Chromium', () => inChromium(page('plain', tarball)));
  await step('Vite, in Chromium', () => inChromium(vite(page('vite', tarball))));
  await step('webpack, in Chromium', async () => inChromium(await webpack(page('webpack', tarball))));
  await step('unmodified kafkajs in a page, in Chromium', async () => inChromium(await kafkajs(home('kafkajs', tarball))));
  return skipped;
}

async function step(name, use) {
  const begun = performance.now();
  await use();
  console.log(`ok - packaging: ${name} (${Math.round(performance.now() - begun)} ms)`);
}

function pack() {
  const [{ filename, files, size, unpackedSize }] = JSON.parse(quietly('npm', ['pack', '--json', '--pack-destination', homes], js));
  checkContents(files.map(({ path }) => path), JSON.parse(readFileSync(join(js, 'package.json'), 'utf8')));
  console.log(`tarball ${(size / 1024).toFixed(0)} KiB, unpacked ${(unpackedSize / 1024).toFixed(0)} KiB, ${files.length} files`);
  return join(homes, filename);
}

/** A project that has installed the tarball; what else it needs is linked from our own tools. */
function home(name, tarball, links = []) {
  const directory = join(homes, name);
  cpSync(join(here, 'homes', name), directory, { recursive: true });
  if (!existsSync(join(directory, 'package.json'))) writeFileSync(join(directory, 'package.json'), '{ "private": true }\n');
  quietly('npm', ['install', '--offline', '--no-audit', '--no-fund', '--no-save', '--package-lock=false', tarball], directory);
  for (const link of links) symlinkSync(join(tools, link), join(directory, 'node_modules', link), 'dir');
  return directory;
}

function node(directory, file) {
  const env = { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1', KAFKAJS_LOG_LEVEL: 'NOTHING' };
  assert.equal(execFileSync(process.execPath, [file], { cwd: directory, env, encoding: 'utf8', timeout: 60_000 }), 'first light\n');
}

function typescript(directory) {
  const tsc = join(tools, 'typescript', 'bin', 'tsc');
  for (const project of ['tsconfig.node16.json', 'tsconfig.bundler.json']) quietly(process.execPath, [tsc, '--project', project], directory);
}

function jest(directory) {
  const env = { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1', KAFKAJS_LOG_LEVEL: 'NOTHING' };
  const said = quietly(process.execPath, [join(tools, 'jest', 'bin', 'jest.js'), '--detectOpenHandles', '--ci'], directory, env);
  assert.doesNotMatch(said, /open handle|did not exit/);
}

/** The home of a page, with what each of them does. */
function page(name, tarball) {
  const directory = home(name, tarball);
  cpSync(join(here, 'page.js'), join(directory, 'page.js'));
  return directory;
}

function vite(directory) {
  quietly(process.execPath, [join(tools, 'vite', 'bin', 'vite.js'), 'build', '--logLevel', 'warn'], directory);
  return join(directory, 'dist');
}

async function webpack(directory) {
  const { default: bundle } = await import('webpack');
  const stats = await new Promise((resolve, reject) =>
    bundle(
      {
        mode: 'production',
        context: directory,
        entry: './main.js',
        output: { path: join(directory, 'dist'), publicPath: 'auto' },
        performance: { hints: false },
      },
      (error, result) => (error ? reject(error) : resolve(result)),
    ),
  );
  assert.ok(!stats.hasErrors() && !stats.hasWarnings(), stats.toString());
  cpSync(join(directory, 'index.html'), join(directory, 'dist', 'index.html'));
  return join(directory, 'dist');
}

async function kafkajs(directory) {
  const stub = join(directory, 'node-modules.js');
  await build({
    entryPoints: [join(directory, 'main.js')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    nodePaths: [tools],
    define: { global: 'globalThis' },
    inject: [join(directory, 'globals.js')],
    alias: { net: stub, tls: stub, crypto: stub, zlib: stub, util: stub, assert: join(directory, 'assert.js') },
    outfile: join(directory, 'dist', 'main.js'),
  });
  for (const file of ['index.html', 'node_modules/kafka-shore/dist/kafka-shore.wasm']) {
    cpSync(join(directory, file), join(directory, 'dist', file.split('/').at(-1)));
  }
  return join(directory, 'dist');
}

async function idbSuite() {
  const directory = join(homes, 'idb-suite');
  mkdirSync(directory);
  await build({
    entryPoints: [join(here, 'idb-suite.js')],
    bundle: true,
    format: 'esm',
    loader: { '.txt': 'text' },
    outfile: join(directory, 'main.js'),
  });
  writeFileSync(join(directory, 'index.html'), '<!doctype html><meta charset="utf-8" /><script type="module" src="main.js"></script>');
  return directory;
}

function noChromium() {
  return existsSync(EXECUTABLE) && statSync(EXECUTABLE).isFile() ? undefined : `there is no Chromium at ${EXECUTABLE} (CHROMIUM names another place)`;
}

/** Runs a command and returns what it said; what it said is shown only if it failed. */
function quietly(command, args, cwd, env = process.env) {
  try {
    return execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 300_000 });
  } catch (error) {
    console.error(`${error.stdout ?? ''}${error.stderr ?? ''}`);
    throw new Error(`${command} ${args.join(' ')} failed in ${cwd}`);
  }
}
