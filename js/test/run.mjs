// Builds the package and runs everything that is to be tested of it.
//
//   npm test [-- [--strict] [--no-build] [NAME]...]      NAME: a part of a test file's name, or `packaging`
//
// With --strict, what this machine cannot test is a failure.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from '../scripts/build.mjs';
import { packaging } from '../packaging/run.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const args = process.argv.slice(2);
const strict = args.includes('--strict');
const names = args.filter((arg) => !arg.startsWith('--'));
const wanted = (name) => names.length === 0 || names.some((part) => name.includes(part));

if (!args.includes('--no-build')) await build();

const files = readdirSync(here).filter((file) => file.endsWith('.test.mjs') && wanted(file));
if (files.length > 0) {
  const paths = files.map((file) => join(here, file));
  const { status } = spawnSync(process.execPath, ['--test', ...paths], { stdio: 'inherit', env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1' } });
  if (status !== 0) process.exit(1);
}

if (wanted('packaging')) {
  const skipped = await packaging();
  for (const why of skipped) console.log(`SKIPPED: ${why}`);
  if (strict && skipped.length > 0) process.exit(1);
}
