// Run by Trunk after a build: orders the functions of the page's worker, in what is built to be served.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { order, WASM_FEATURES } from './order.mjs';

const { TRUNK_PROFILE, TRUNK_STAGING_DIR } = process.env;
if (TRUNK_PROFILE === 'release') {
  if (spawnSync('wasm-opt', ['--version']).status === 0) order(join(TRUNK_STAGING_DIR, 'worker_bg.wasm'), WASM_FEATURES);
  else console.log('wasm-opt is not there (npm ci in xtask/tools brings it): the worker is larger than it could be');
}
