// Opens a directory's page in Chromium and waits for what it says.

import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

import { chromium } from 'playwright-core';

import { EXECUTABLE, FLAGS } from '../../tests/web/chromium.mjs';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

/** The page sets its title to `ok`, or to what went wrong. */
export async function inChromium(directory) {
  const { url, close } = await serve(directory);
  const browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS });
  try {
    const page = await browser.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    await page.goto(url);
    await page.waitForFunction(() => document.title !== '', undefined, { timeout: 30_000 }).catch(() => undefined);
    assert.deepEqual([await page.title(), problems], ['ok', []]);
  } finally {
    await browser.close();
    await close();
  }
}

export async function serve(directory) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    const file = join(directory, path.endsWith('/') ? `${path}index.html` : path);
    if (path === '/favicon.ico') return response.writeHead(204).end();
    if (!file.startsWith(directory) || !existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
    return createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}
