// The cluster's own time against the real one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const entry = fileURLToPath(new URL('../src/clock.ts', import.meta.url));
const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'esm', write: false });
const { Clock } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

/** A clock over real time that the test moves, in milliseconds. */
function clockAt(context, start) {
  let real = 0;
  context.mock.method(performance, 'now', () => real);
  context.mock.method(Date, 'now', () => start + real);
  return { clock: new Clock(), pass: (millis) => (real += millis) };
}

test('time passes as it does outside', (context) => {
  const { clock, pass } = clockAt(context, 1_000_000);
  pass(40);
  assert.equal(clock.advance(5_000_000), 40_000);
  assert.equal(clock.wallOffset, 1_000_000);
});

test('a process that stood still loses the time, and its wall clock catches up', (context) => {
  const { clock, pass } = clockAt(context, 1_000_000);
  pass(60_000);
  assert.equal(clock.advance(5_000_000), 250_000);
  assert.equal(clock.wallOffset + 250, 1_060_000);
  pass(10);
  assert.equal(clock.advance(5_000_000), 260_000);
});

test('a sleep that was meant to be long counts, and what goes beyond it does not', (context) => {
  const { clock, pass } = clockAt(context, 0);
  assert.equal(clock.sleep(30_000_000, false), 30_000);
  pass(30_001);
  assert.equal(clock.advance(30_000_000), 30_001_000);
  clock.sleep(60_000_000, false);
  pass(3_600_000);
  assert.equal(clock.advance(60_000_000), 30_001_000 + 29_999_000 + 250_000);
});

test('with clients connected no sleep is longer than can be told from a stopped process', (context) => {
  const { clock, pass } = clockAt(context, 0);
  assert.equal(clock.sleep(30_000_000, true), 200);
  pass(60_000);
  assert.equal(clock.advance(30_000_000), 450_000);
});

test('where nothing is due all of the time passes', (context) => {
  const { clock, pass } = clockAt(context, 0);
  pass(3_600_000);
  assert.equal(clock.advance(undefined), 3_600_000_000);
  assert.equal(clock.wallOffset, 0);
});

test('time that is skipped puts the wall clock ahead, and keeps it there', (context) => {
  const { clock, pass } = clockAt(context, 1_000_000);
  clock.skipTo(3_600_000_000);
  assert.equal(clock.advance(undefined), 3_600_000_000);
  assert.equal(clock.wall, 1_000_000 + 3_600_000);
  clock.skipTo(5);
  assert.equal(clock.advance(undefined), 3_600_000_000, 'time does not run backwards');
  pass(60_000);
  clock.advance(3_700_000_000);
  assert.equal(clock.wall, 1_000_000 + 3_600_000 + 60_000, 'what the process lost the wall clock makes up for');
  const next = new Clock(clock.ahead);
  assert.equal(next.wall, 1_000_000 + 3_600_000 + 60_000);
});
