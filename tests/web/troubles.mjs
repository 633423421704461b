// What goes wrong in a browser, each a state that the page names and that one can get out of.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveCopy } from './copy.mjs';
import { download, ends, moving, open, reset } from './page.mjs';

export const troubles = {
  'a second tab says who holds the store': async ({ browser, url, watch }) => {
    const first = watch(await open(browser, url));
    await moving(first);
    const second = watch(await open(browser, url));
    await second.getByRole('heading', { name: 'Another tab runs this cluster' }).waitFor();
    await second.getByText(/since \d{4}-/).waitFor();
    await moving(first);
    await first.close();
    await second.getByRole('button', { name: 'Try again' }).click();
    await moving(second);
  },

  'a full store says so, and goes on when there is space': async ({ browser, url }) => {
    const page = await open(browser, url);
    await moving(page);
    const session = await browser.newCDPSession(page);
    const allow = (quotaSize) => session.send('Storage.overrideQuotaForOrigin', { origin: new URL(url).origin, quotaSize });
    const banner = page.getByText('Nothing more can be stored');
    await allow(1);
    // Chromium goes by the space that it once saw for up to half a minute.
    await banner.waitFor({ timeout: 60_000 });
    await page.locator('.log .error', { hasText: 'KAFKA_STORAGE_ERROR' }).first().waitFor();
    const seen = await ends(page);

    // A tab that finds its store full opens it all the same, says so, and can save what is in it.
    await page.reload();
    await banner.waitFor();
    assert.ok(await download(page, page.getByRole('button', { name: 'Save a copy' })));
    await allow(1e9);
    await banner.waitFor({ state: 'detached' });
    await moving(page, seen);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor({ timeout: 60_000 });
  },

  'a crashed worker comes back from its store': async ({ browser, url }) => {
    const page = await open(browser, url);
    const crashed = page.locator('.banner', { hasText: 'The cluster crashed.' });
    for (let life = 1; life <= 3; life += 1) {
      await moving(page);
      const seen = await ends(page);
      await breakDown(page);
      await crashed.waitFor();
      await moving(page, seen);
      await crashed.getByText('What it said').click();
      assert.match(await crashed.locator('pre').innerText(), /panicked at .*cluster\.rs/);
      assert.ok(await download(page, crashed.getByRole('button', { name: 'Save a copy' })));
      await crashed.getByRole('button', { name: 'Dismiss' }).click();
    }

    // One that does so again and again is left alone; its store can be saved, and opened once more.
    const seen = await ends(page);
    await breakDown(page);
    await page.getByRole('heading', { name: 'The cluster crashed again and again' }).waitFor();
    assert.ok(await download(page, page.locator('.cover').getByRole('button', { name: 'Save a copy' })));
    await page.getByRole('button', { name: 'Try again' }).click();
    await moving(page, seen);
    await breakDown(page);
    await page.getByRole('heading', { name: 'The cluster crashed again and again' }).waitFor();
    await reset(page);
    await moving(page);
  },

  'a worker of another build is not spoken to': async ({ browser, url }) => {
    // The same program but for the hash of its sources, which the page's own address of it ends with.
    await browser.route('**/worker_bg.wasm*', async (route) => {
      const response = await route.fetch();
      const build = new URL(route.request().url()).search.slice(1);
      const body = await response.body();
      const at = body.indexOf(build);
      assert.ok(build.length === 16 && at > 0, 'the build is in the program');
      body.write('0123456789abcdef', at);
      await route.fulfill({ response, body });
    });
    const page = await open(browser, url);
    const stale = page.getByRole('heading', { name: 'This page has been updated' });
    await stale.waitFor();
    // Nor is one whose words cannot be understood.
    await browser.route('**/worker_loader.js*', (route) =>
      route.fulfill({ contentType: 'text/javascript', body: 'postMessage(new Uint8Array([250, 1, 2]).buffer)' }),
    );
    await page.getByRole('button', { name: 'Reload' }).click();
    await stale.waitFor();
    await browser.unrouteAll();
    await page.getByRole('button', { name: 'Reload' }).click();
    await moving(page);
  },

  'a worker that cannot be loaded is not waited for': async ({ browser, url }) => {
    await browser.route('**/worker_bg.wasm*', (route) => route.fulfill({ status: 404 }));
    const page = await open(browser, url);
    await page.getByRole('heading', { name: 'The cluster does not run' }).waitFor();
    await browser.unrouteAll();
    await page.getByRole('button', { name: 'Try again' }).click();
    await moving(page);
  },

  'a newer store is refused, saved and reset': async ({ browser, url }) => {
    for (const newer of [{ format: 99 }, { schema: 2 }]) {
      const page = await open(browser, url);
      await moving(page);
      // Any file of the site has its IndexedDB, and no cluster that holds it.
      await page.goto(new URL('worker_loader.js', url).href);
      await page.evaluate(writeAsNewer, newer);
      await page.goto(url);
      await page.getByRole('heading', { name: 'The store is newer than this page' }).waitFor();
      await page.getByText(/written by a newer version \(format \d+, this version knows 1\)/).waitFor();
      const copy = await unpack(await download(page, page.getByRole('button', { name: 'Save a copy' })));
      assert.ok(existsSync(join(copy, 'n1/d0/orders-0')), 'what is in it can be saved all the same');
      rmSync(copy, { recursive: true });
      await reset(page);
      await moving(page);
      await page.close();
    }
  },

  'a saved copy is a directory that the native broker runs on': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.getByRole('button', { name: 'Send a record' }).click();
    await page.locator('dialog').getByLabel('Partition').fill('0');
    await page.locator('dialog').getByLabel('Value', { exact: true }).fill('take me along');
    await page.locator('dialog').getByRole('button', { name: 'Send' }).click();
    await page.getByText('Sent to orders.').waitFor();
    const before = await ends(page);
    await moving(page, before);
    const seen = await ends(page);

    await page.getByRole('button', { name: /^Storage/ }).click();
    const copy = await unpack(await download(page, page.getByRole('button', { name: 'Save a copy' })));
    try {
      const log = readdirSync(join(copy, 'n1/d0/orders-0')).find((name) => name.endsWith('.log'));
      assert.ok(readFileSync(join(copy, 'n1/d0/orders-0', log)).includes('take me along'));
      const found = await serveCopy(copy, 'orders', seen.length);
      assert.equal(found.clusterId, readFileSync(join(copy, 'cluster.id'), 'utf8').trim());
      seen.forEach((end, index) => assert.ok(found.ends[index] >= end, `partition ${index} ends at ${found.ends[index]}, not at ${end}`));
    } finally {
      rmSync(copy, { recursive: true });
    }
  },

  'without IndexedDB it runs in memory and says so': async ({ browser, url, watch }) => {
    await browser.route('**/worker_loader.js*', async (route) => {
      const response = await route.fetch();
      const without = "Object.defineProperty(self, 'indexedDB', { value: undefined });";
      await route.fulfill({ response, body: `${without}\n${await response.text()}` });
    });
    const page = watch(await open(browser, url));
    await page.getByText('Nothing is kept.').waitFor();
    await moving(page);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    await page.getByRole('button', { name: /^Storage/ }).click();
    await page.getByText('Kept in memory').waitFor();
    const copy = await unpack(await download(page, page.getByRole('button', { name: 'Save a copy' })));
    assert.ok(existsSync(join(copy, 'cluster.id')) && existsSync(join(copy, 'n1/d0/orders-0')));
    rmSync(copy, { recursive: true });
    await page.getByRole('button', { name: 'Dismiss' }).click();
    await page.getByText('Nothing is kept.').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: /^Storage/ }).click();
    await reset(page);
    await moving(page);
  },
};

/** Calls the cluster back before it has returned, which it relies on never to happen. */
async function breakDown(page) {
  const worker = page.workers().at(-1);
  await worker.evaluate(() => {
    self.setTimeout = (callback) => callback();
  });
}

/** Runs in the page: makes the store look as if a later version had written it. */
async function writeAsNewer({ format, schema }) {
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const database = await done(indexedDB.open('kafka-shore', schema));
  if (format) await done(database.transaction('meta', 'readwrite').objectStore('meta').put(format, 'format'));
  database.close();
}

function unpack(archive) {
  const directory = mkdtempSync(join(tmpdir(), 'shore-copy-'));
  execFileSync('tar', ['-xf', archive, '-C', directory]);
  return directory;
}
