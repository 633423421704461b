// Journeys through the built page in a real Chromium: node run.mjs [--dist DIR] [--shots DIR] [name...]
// Needs a build (`trunk build`, `cargo build -p shore`), and Chromium: $CHROMIUM or /usr/bin/chromium.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { abilities } from './abilities.mjs';
import { access } from './access.mjs';
import { EXECUTABLE, FLAGS } from './chromium.mjs';
import { journeys } from './journeys.mjs';
import { serve } from './server.mjs';
import { troubles } from './troubles.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dist: { type: 'string', default: join(here, '../../dist') },
    shots: { type: 'string', default: join(here, '../../target/web-shots') },
  },
});

mkdirSync(values.shots, { recursive: true });
const server = await serve(resolve(values.dist));
let failed = 0;
for (const [name, journey] of Object.entries({ ...journeys, ...abilities, ...access, ...troubles })) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const profile = mkdtempSync(join(tmpdir(), 'shore-journey-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    args: FLAGS,
    acceptDownloads: true,
    viewport: { width: 1280, height: 800 },
  });
  const started = performance.now();
  const problems = [];
  const watch = (page) => {
    page.on('pageerror', (error) => problems.push(`page error: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && problems.push(`console: ${message.text()}`));
    return page;
  };
  try {
    await journey({ browser, url: server.url, watch, shots: values.shots });
    if (problems.length > 0) throw new Error(problems.join('\n'));
    console.log(`ok   ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}\n${String(error.stack ?? error).replace(/^/gm, '     ')}`);
    const page = browser.pages().at(-1);
    await page?.screenshot({ path: join(values.shots, `failed-${name.replaceAll(' ', '-')}.png`) }).catch(() => {});
  } finally {
    await browser.close().catch(() => {});
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
await server.close();
process.exitCode = failed === 0 ? 0 : 1;
