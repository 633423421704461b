// The examples of the README do what they say.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const js = fileURLToPath(new URL('..', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'kafka-shore-readme-'));
after(() => rmSync(directory, { recursive: true, force: true }));
mkdirSync(join(directory, 'node_modules'));
symlinkSync(js, join(directory, 'node_modules', 'kafka-shore'), 'dir');
symlinkSync(join(js, 'node_modules', 'kafkajs'), join(directory, 'node_modules', 'kafkajs'), 'dir');

const examples = [...readFileSync(join(js, 'README.md'), 'utf8').matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);

test('there are four examples', () => assert.equal(examples.length, 4));

for (const [index, code] of examples.entries()) {
  test(`example ${index + 1} runs and ends by itself`, () => {
    const file = join(directory, `example-${index + 1}.mjs`);
    writeFileSync(file, code);
    const env = { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1', KAFKAJS_LOG_LEVEL: 'ERROR' };
    // A test runner's children must not take this process for their parent runner.
    delete env.NODE_TEST_CONTEXT;
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: directory, env, encoding: 'utf8', timeout: 30_000 });
    assert.equal(status, 0, stdout + stderr);
  });
}
