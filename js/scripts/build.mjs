// Builds the package into dist/: the core as WebAssembly, the host in TypeScript for both module
// systems, and its types.
//
//   node scripts/build.mjs

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';

import { build as bundle } from 'esbuild';

import { order, WASM_FEATURES } from './order.mjs';

const js = fileURLToPath(new URL('..', import.meta.url));
const root = join(js, '..');
const dist = join(js, 'dist');
const glue = join(js, 'src', 'wasm');
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');

process.env.PATH = [process.env.PATH, join(root, 'xtask', 'tools', 'node_modules', '.bin')].join(delimiter);

export async function build() {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  buildCores();
  await buildHost();
  buildTypes();
  cpSync(join(root, 'LICENSE'), join(js, 'LICENSE'));
  reportSizes();
}

/** The core twice, the second time for speed: Node has it on a disk, and nobody waits for its download. */
function buildCores() {
  buildCore('web', 'kafka-shore.wasm');
  const glued = readFileSync(join(glue, 'kafka_shore.js'), 'utf8');
  buildCore('node', 'kafka-shore-fast.wasm');
  if (readFileSync(join(glue, 'kafka_shore.js'), 'utf8') !== glued) throw new Error('the two cores need other glue each');
}

/** The glue goes to src/wasm, where the TypeScript imports it; the code goes to dist. */
function buildCore(profile, name) {
  run('cargo', ['build', '--locked', '--package', 'shore-js', '--target', 'wasm32-unknown-unknown', '--profile', profile], root);
  bindgen(join(target, 'wasm32-unknown-unknown', profile, 'shore_js.wasm'), glue);
  optimise(join(glue, 'kafka_shore_bg.wasm'), join(dist, name), profile === 'web');
}

/** Takes its time, so the result is kept for as long as the core does not change. */
function optimise(built, optimised, isDownloaded) {
  if (spawnSync('wasm-opt', ['--version']).status !== 0) {
    console.log('wasm-opt is not there (npm ci in xtask/tools brings it): the wasm is larger than it could be');
    cpSync(built, optimised);
    return;
  }
  const level = isDownloaded ? '-O1' : '-O3';
  const made = createHash('sha256').update(readFileSync(built)).update(readFileSync(join(js, 'scripts', 'order.mjs'))).update(level);
  const kept = join(target, basename(optimised, '.wasm'), `${made.digest('hex')}.wasm`);
  if (!existsSync(kept)) {
    rmSync(dirname(kept), { recursive: true, force: true });
    mkdirSync(dirname(kept), { recursive: true });
    run('wasm-opt', [...WASM_FEATURES, level, built, '-o', `${kept}.part`], root);
    if (isDownloaded) order(`${kept}.part`, WASM_FEATURES);
    renameSync(`${kept}.part`, kept);
  }
  cpSync(kept, optimised);
}

/** JavaScript that loads `wasm` from whatever module it is given. */
function bindgen(wasm, out) {
  run('wasm-bindgen', ['--target', 'web', '--omit-default-module-path', '--out-dir', out, '--out-name', 'kafka_shore', wasm], root);
}

async function buildHost() {
  const entry = (name) => join(js, 'src', 'entry', `${name}.ts`);
  const common = {
    bundle: true,
    target: ['es2022', 'node18'],
    outdir: dist,
    logLevel: 'warning',
    legalComments: 'none',
  };
  // Shared chunks keep one copy of everything where an entry and the slim one meet.
  await bundle({
    ...common,
    format: 'esm',
    platform: 'node',
    splitting: true,
    chunkNames: 'node-[hash]',
    entryPoints: { node: entry('node'), 'slim-node': entry('slim-node'), cli: join(js, 'src', 'cli.ts') },
  });
  await bundle({
    ...common,
    format: 'esm',
    platform: 'browser',
    splitting: true,
    chunkNames: 'browser-[hash]',
    entryPoints: { browser: entry('browser'), 'slim-browser': entry('slim-browser') },
  });
  await bundle({
    ...common,
    format: 'cjs',
    platform: 'node',
    outExtension: { '.js': '.cjs' },
    define: { 'import.meta.url': 'moduleUrl' },
    banner: { js: "const moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
    entryPoints: { node: entry('node'), 'slim-node': entry('slim-node') },
  });
}

function buildTypes() {
  const tsc = join(js, 'node_modules', 'typescript', 'bin', 'tsc');
  run(process.execPath, [tsc, '--project', 'tsconfig.json'], js);
  run(process.execPath, [tsc, '--project', 'tsconfig.types.json'], js);
  // The same declarations, but read as those of CommonJS.
  cpSync(join(dist, 'types'), join(dist, 'types-cjs'), { recursive: true });
  writeFileSync(join(dist, 'types-cjs', 'package.json'), '{ "type": "commonjs" }\n');
}

/** What a page may have to download for the core, as brotli makes it. */
const CORE_CEILING = 400 * 1024;

function reportSizes() {
  const wasm = readFileSync(join(dist, 'kafka-shore.wasm'));
  const fast = readFileSync(join(dist, 'kafka-shore-fast.wasm'));
  const host = readFileSync(join(dist, 'node.cjs'));
  const core = brotli(wasm);
  console.log(`wasm ${kib(wasm.length)}, brotli ${kib(core)}; in Node ${kib(fast.length)}; JavaScript (CommonJS) ${kib(host.length)}, brotli ${kib(brotli(host))}`);
  if (core > CORE_CEILING) throw new Error(`the core is ${kib(core)} in brotli and may be ${kib(CORE_CEILING)}`);
}

function brotli(bytes) {
  return brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
}

function kib(bytes) {
  return `${(bytes / 1024).toFixed(0)} KiB`;
}

function run(command, args, cwd) {
  execFileSync(command, args, { cwd, stdio: 'inherit' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();
