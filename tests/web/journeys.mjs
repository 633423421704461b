// What a visitor does, each in a browser that has never been here. Nothing is timed: a journey waits
// for what it expects to see, and fails if that does not come.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { addProducer, addTopic, batches, clock, committed, ends, fill, moving, open, reset, topicOf } from './page.mjs';

export const journeys = {
  'first minute': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    assert.equal(await page.locator('.topic h3').first().innerText(), 'orders');
    assert.equal(await page.locator('.partition').count(), 3);
    assert.equal(await page.getByRole('button', { name: /^Member / }).count(), 2);
    // The group reads what the producer sends.
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    // A click shows the bytes of a batch and the records in it.
    await page.locator('.tape .batch').last().click();
    await page.getByText('partitionLeaderEpoch').waitFor();
    await page.getByText(/CRC-32C of what follows, matches/).waitFor();
    await page.locator('.record dd').first().waitFor();
    // And of a request.
    await page.locator('.log tbody tr', { hasText: 'Produce' }).first().click();
    await page.getByText('TimeoutMs').waitFor();
    await page.keyboard.press('Escape');
    // Paused time stands still; a step moves it.
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Go on' }).waitFor();
    const paused = await clock(page);
    await page.getByRole('button', { name: 'Step' }).click();
    await page.waitForFunction((before) => document.querySelector('.cluster-time').textContent >= before, paused);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.waitForFunction((before) => document.querySelector('.cluster-time').textContent > before, paused);
  },

  'topic life': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.getByRole('button', { name: 'New topic' }).click();
    await page.locator('dialog').getByLabel('Name').fill('payments');
    await page.locator('dialog').getByLabel('Partitions').fill('2');
    await page.locator('dialog').getByRole('button', { name: 'Create' }).click();
    const topic = page.getByRole('region', { name: 'Topic payments' });
    await topic.locator('.partition').nth(1).waitFor();

    await topic.getByRole('button', { name: 'Send' }).click();
    await page.locator('dialog').getByLabel('Partition').fill('1');
    await page.locator('dialog').getByLabel('Key').fill('<b>bold</b>');
    await page.locator('dialog').getByLabel('Value', { exact: true }).fill('paid\u202e!');
    await page.locator('dialog').getByLabel('Headers').fill('trace: 42');
    await page.locator('dialog').getByRole('button', { name: 'Send' }).click();
    await topic.locator('.partition').nth(1).locator('.batch').click();
    const record = page.locator('.record').first();
    await record.waitFor();
    const text = await record.innerText();
    assert.match(text, /<b>bold<\/b>/, 'markup is text');
    assert.match(text, /paid\\u\{202e\}!/, 'what turns text around is written out');
    assert.match(text, /trace: 42/);

    // A consumer of a new group reads it.
    await page.getByRole('button', { name: 'Add' }).last().click();
    await page.locator('dialog').getByLabel('Group').fill('audit');
    await page.locator('dialog').getByLabel('Topic').selectOption('payments');
    await page.locator('dialog').getByRole('button', { name: 'Add' }).click();
    const group = page.getByRole('region', { name: 'Group audit' });
    await group.locator('.assigned li', { hasText: 'payments-1' }).getByText('caught up').waitFor();
    assert.match(await group.locator('.assigned li', { hasText: 'payments-1' }).innerText(), /\b1\b/);

    // A consumer that goes on asking would make the topic anew, as with Apache Kafka.
    await group.getByRole('button', { name: /^Member / }).click();
    await page.getByRole('button', { name: 'Leave the group' }).click();
    await group.getByText('No members').waitFor();
    await topic.getByRole('button', { name: 'Delete' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
    await topic.waitFor({ state: 'detached' });
  },

  'reload keeps everything': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.getByRole('button', { name: 'Send a record' }).click();
    await page.locator('dialog').getByLabel('Partition').fill('0');
    await page.locator('dialog').getByLabel('Value', { exact: true }).fill('remember me');
    await page.locator('dialog').getByRole('button', { name: 'Send' }).click();
    await page.getByText('Sent to orders.').waitFor();
    await page.locator('.assigned li', { hasText: 'caught up' }).first().waitFor();
    await committed(page);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Go on' }).waitFor();
    const before = { ends: await ends(page), batches: await batches(page) };

    await page.reload();
    await moving(page, before.ends);
    const after = { ends: await ends(page), batches: await batches(page) };
    before.ends.forEach((end, index) => assert.ok(after.ends[index] >= end, `partition ${index} lost records`));
    assert.ok(after.batches >= 1, 'what was there before the reload is on the tapes');
    // The producer and both members go on, from where they were.
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Producer shop' }).waitFor();
    assert.ok((await committed(page)) > 0);
  },

  'killed renderer loses no acked record': async ({ browser, url }) => {
    const page = await open(browser, url);
    await moving(page);
    const faster = page.getByRole('group', { name: 'Rate of shop' }).getByRole('button', { name: 'Faster' });
    for (let click = 0; click < 5; click += 1) await faster.click();
    for (let life = 0; life < 3; life += 1) {
      const current = browser.pages().at(-1);
      await moving(current);
      await current.waitForFunction(() => Number(document.querySelector('.client .figures b')?.textContent.replaceAll(',', '')) > 150);
      // Ends of logs that the page has seen as readable are acknowledged.
      const seen = await ends(current);
      await kill(browser);
      await current.close().catch(() => {});
      const next = await open(browser, url);
      await moving(next, seen);
      (await ends(next)).forEach((end, index) => assert.ok(end >= seen[index], `${seen[index] - end} acked records of partition ${index} are gone`));
    }
  },

  'a paused member stays so over a reload': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    const member = () => page.getByRole('button', { name: 'Member billing-1' });
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    await member().click();
    await page.getByRole('button', { name: 'Pause fetching' }).click();
    await page.getByRole('button', { name: 'Fetch again' }).waitFor();
    await page.locator('.client', { hasText: 'billing-1' }).getByText('behind').first().waitFor();

    await page.reload();
    await moving(page);
    await page.locator('.assigned li', { hasText: 'behind' }).first().waitFor({ timeout: 60_000 });
    await member().click();
    await page.getByRole('button', { name: 'Fetch again' }).click();
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
  },

  'reset begins anew': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.getByRole('button', { name: /^Storage/ }).click();
    await reset(page);
    await page.waitForFunction(() => document.querySelector('.cluster-time')?.textContent < '00:04');
    await moving(page);
  },

  'looks right': async ({ browser, url, watch, shots }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    for (const colorScheme of ['light', 'dark']) {
      for (const [width, height] of [[360, 800], [1280, 800], [1920, 1080]]) {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${width} px wide, and ${overflow} px too much`);
        const cut = await page.locator('.log td:first-child, .log .number, .log .name').evaluateAll((cells) =>
          cells.filter((cell) => cell.clientWidth > 0 && cell.scrollWidth > cell.clientWidth).map((cell) => cell.innerText),
        );
        assert.deepEqual(cut, [], `what the log cuts off at ${width} px`);
        await page.screenshot({ path: join(shots, `${width}-${colorScheme}.png`), fullPage: width === 360 });
      }
    }
  },

  'what is on its way finds its way anew when the window changes': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    const faster = page.getByRole('group', { name: 'Rate of shop' }).getByRole('button', { name: 'Faster' });
    for (let click = 0; click < 4; click += 1) await faster.click();
    await page.waitForFunction(() => Number(document.querySelector('.client .figures b').textContent) > 60);
    for (const width of [1120, 1440, 1280, 1600]) {
      await page.setViewportSize({ width, height: 800 });
      const { ink, between } = await page.evaluate(flights);
      assert.ok(ink.length > 0, 'something is on its way');
      const astray = ink.filter((x) => x < between[0] - 12 || x > between[1] + 12);
      assert.deepEqual(astray, [], `at ${width} px all of it is between the producer and the members`);
    }
  },

  'only what is in sight is drawn': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await addTopic(page, 'wide', 50);
    await addProducer(page, 'wide', { 'Records per second': '50' });
    await page.getByLabel('Speed').selectOption('1000\u00d7');
    // What nobody sees is drawn as well, now and then.
    await topicOf(page, 'wide').locator('.partition').nth(49).locator('.batch').nth(3).waitFor({ state: 'attached' });
    const sizes = await page.evaluate(() => ({
      stage: document.querySelector('.stage').clientHeight,
      canvas: document.querySelector('canvas.motion').clientHeight,
      window: innerHeight,
    }));
    assert.ok(sizes.stage > sizes.window && sizes.canvas <= sizes.window, JSON.stringify(sizes));
    const rows = page.locator('.log tbody tr');
    const few = await rows.count();
    assert.ok(few > 5 && few < 60, `${few} rows for those in sight`);
    await page.locator('.log-scroll').evaluate((list) => list.scrollTo(0, list.scrollHeight));
    await rows.nth(few + 8).waitFor();
  },
};

/** Runs in the page: where the canvas has ink two frames later, and between which edges it may be. */
function flights() {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const look = () => {
    const canvas = document.querySelector('canvas.motion');
    const { left, width } = canvas.getBoundingClientRect();
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const columns = new Set();
    for (let at = 3; at < data.length; at += 4) if (data[at] > 20) columns.add((at >> 2) % canvas.width);
    const edge = (name) => document.querySelector(`[data-anchor="${name}"]`).getBoundingClientRect();
    const ink = [...columns].map((column) => Math.round((column * width) / canvas.width + left));
    return { ink, between: [edge('client:shop').right, edge('client:billing-1').left] };
  };
  return frame().then(frame).then(look);
}

/** Kills every renderer, as the kernel would when memory is short. */
async function kill(browser) {
  const session = await browser.browser().newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  for (const { type, id } of processInfo) if (type === 'renderer') process.kill(id, 'SIGKILL');
  await session.detach();
}
