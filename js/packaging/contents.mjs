// What may be in the tarball, and what a package must not bring.

import assert from 'node:assert/strict';

const ALLOWED = [
  /^(package\.json|README\.md|LICENSE)$/,
  /^dist\/(node|slim-node|browser|slim-browser|cli)\.js$/,
  /^dist\/(node|browser)-[A-Z0-9]+\.js$/,
  /^dist\/(node|slim-node)\.cjs$/,
  /^dist\/kafka-shore(-fast)?\.wasm$/,
  /^dist\/types(-cjs)?\/.+\.d\.ts$/,
  /^dist\/types-cjs\/package\.json$/,
];

export function checkContents(files, manifest) {
  const strangers = files.filter((file) => !ALLOWED.some((pattern) => pattern.test(file)));
  assert.deepEqual(strangers, [], 'the tarball holds what it should not');
  assert.equal(manifest.dependencies, undefined, 'no runtime dependencies');
  assert.equal(manifest.optionalDependencies, undefined);
  assert.equal(manifest.peerDependencies, undefined);
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) assert.equal(manifest.scripts[script], undefined, `no ${script} script`);
  for (const file of named(manifest.exports).concat(Object.values(manifest.bin), manifest.main, manifest.module, manifest.types)) {
    assert.ok(files.includes(file.replace(/^\.\//, '')), `${file} is promised and not there`);
  }
}

/** Every file that the exports map names, with `types` first wherever there is one. */
function named(exports) {
  if (typeof exports === 'string') return [exports];
  const conditions = Object.keys(exports);
  if (conditions.includes('types')) assert.equal(conditions[0], 'types');
  return Object.values(exports).flatMap(named);
}
