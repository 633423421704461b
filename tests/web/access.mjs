// The page without a mouse, without sight, without motion.
import assert from 'node:assert/strict';
import { addProducer, addTopic, clock, closed, fill, moving, open, showGroup, showTopic, topicOf } from './page.mjs';

export const access = {
  'everything is done by the keyboard alone': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    const { keyboard } = page;
    await moving(page);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();

    // A topic: the dialog takes the focus, keeps it, and gives it back.
    await tabTo(page, 'New topic');
    await keyboard.press('Enter');
    const dialog = page.locator('dialog');
    await dialog.waitFor();
    for (let stop = 0; stop < 12; stop += 1) {
      await keyboard.press('Tab');
      assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest('dialog') !== null), 'Tab stays in the dialog');
    }
    await keyboard.press('Escape');
    await closed(page);
    assert.equal(await focusedName(page), 'New topic');
    await keyboard.press('Enter');
    await dialog.waitFor();
    await keyboard.type('letters');
    await keyboard.press('Tab');
    await keyboard.press('Control+A');
    await keyboard.type('1');
    await keyboard.press('Enter');
    await closed(page);
    assert.equal(await focusedName(page), 'New topic');
    const topic = topicOf(page, 'letters');
    await topic.locator('.partition').waitFor();

    // A record into it.
    await tabTo(page, 'Send', topic);
    await keyboard.press('Enter');
    await tabTo(page, 'Value', dialog);
    await keyboard.type('dear reader');
    await tabTo(page, 'Send', dialog);
    await keyboard.press('Enter');
    await closed(page);
    assert.equal(await focusedName(page), 'Send');
    await topic.locator('.batch').waitFor();

    // Space pauses where nothing else is pressed, a full stop steps.
    await topicOf(page, 'orders').locator('.partition').first().locator('.batch').nth(2).waitFor();
    await page.locator('main').focus();
    await keyboard.press('Space');
    await page.locator('.broker-state', { hasText: 'Paused' }).waitFor();
    const paused = await clock(page);
    await keyboard.press('.');
    await page.waitForFunction((before) => document.querySelector('.cluster-time').textContent >= before, paused);

    // Along a tape, into a batch and back.
    await tabTo(page, 'Partition 0', topicOf(page, 'orders'));
    await keyboard.press('Tab');
    const newest = await focusedName(page);
    assert.match(newest, /^Offsets? \d/);
    await keyboard.press('ArrowLeft');
    const older = await focusedName(page);
    assert.notEqual(older, newest);
    await keyboard.press('End');
    assert.equal(await focusedName(page), newest);
    await keyboard.press('ArrowLeft');
    await seesFocus(page);
    await keyboard.press('Enter');
    await page.getByRole('heading', { name: /^Batch at/ }).waitFor();
    await page.waitForFunction(() => document.activeElement.closest('.panel-region') !== null && document.activeElement.tagName === 'H2');
    await page.getByText('partitionLeaderEpoch').waitFor();
    await tabTo(page, 'Close', page.locator('.panel-region'));
    await keyboard.press('Escape');
    await page.getByRole('heading', { name: /^Batch at/ }).waitFor({ state: 'detached' });
    assert.equal(await focusedName(page), older, 'Escape gives the focus back');

    // Escape closes the dialog and leaves the panel; the menu closes by itself.
    await tabTo(page, 'orders', topicOf(page, 'orders'));
    await keyboard.press('Enter');
    await page.getByRole('heading', { name: 'orders' }).nth(1).waitFor();
    await tabTo(page, 'Alter configs', page.locator('.panel-region'));
    await keyboard.press('Enter');
    await dialog.waitFor();
    await keyboard.press('Escape');
    await closed(page);
    assert.equal(await focusedName(page), 'Alter configs');
    await page.locator('.panel-region h2', { hasText: 'orders' }).waitFor();
    await keyboard.press('Escape');
    await tabTo(page, /^Storage/);
    await keyboard.press('Enter');
    await page.getByRole('button', { name: 'Reset the cluster' }).waitFor();
    await keyboard.press('Tab');
    await keyboard.press('Escape');
    await page.getByRole('button', { name: 'Reset the cluster' }).waitFor({ state: 'detached' });
    assert.match(await focusedName(page), /^Storage/);

    // The lists below are tabs: the arrows choose.
    await tabTo(page, 'Requests');
    await keyboard.press('ArrowRight');
    await page.getByRole('tab', { name: 'Events', selected: true }).waitFor();
    assert.equal(await focusedName(page), 'Events');
    await keyboard.press('ArrowLeft');
    await tabTo(page, /^Produce version/);
    await keyboard.press('Enter');
    await page.locator('.panel-region', { hasText: 'TimeoutMs' }).waitFor();
    await keyboard.press('Escape');
    assert.match(await focusedName(page), /^Produce version/);

    // A break: the paused member falls behind.
    await page.locator('main').focus();
    await keyboard.press('Space');
    await tabTo(page, 'Member billing-1');
    await keyboard.press('Enter');
    await tabTo(page, 'Pause fetching', page.locator('.panel-region'));
    await keyboard.press('Enter');
    await page.locator('.client', { hasText: 'billing-1' }).getByText('behind').first().waitFor();
  },

  'every control has a name, every text is to be read': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await addTopic(page, 'transfers', 1);
    await addProducer(page, 'transfers', { 'Records per second': '5', 'Transactional id': 'bank', Aborted: '50' });
    await page.getByRole('button', { name: 'Add copier' }).click();
    await page.locator('dialog').getByLabel('Target topic').selectOption('transfers');
    await page.locator('dialog').getByLabel('Source topic').selectOption('orders');
    await fill(page, {}, 'Add');
    await closed(page);
    await topicOf(page, 'transfers').getByRole('button', { name: /, aborted$/ }).first().waitFor({ timeout: 60_000 });
    const looks = [
      () => showTopic(page, 'orders'),
      () => showGroup(page, 'billing'),
      () => page.getByRole('button', { name: 'Transactional id bank' }).click(),
      () => page.locator('.log tbody tr', { hasText: 'Produce' }).first().click(),
      () => page.getByRole('tab', { name: 'Events' }).click(),
      () => page.getByRole('button', { name: 'Help' }).click(),
      () => page.keyboard.press('Escape'),
      () => page.getByRole('button', { name: 'New topic' }).click(),
    ];
    for (const look of looks) {
      await look();
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        // What has just come is still in the colours that it comes in.
        await page.waitForTimeout(0);
        const faults = await page.evaluate(audit);
        assert.deepEqual(faults, [], `${look} in ${colorScheme}`);
      }
    }
  },

  'what happens is told to who cannot see it': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    const told = page.getByRole('log', { name: 'What happens' });
    await page.getByRole('button', { name: 'New topic' }).click();
    await fill(page, { Name: 'letters', Partitions: '1' }, 'Create');
    await told.getByText('letters: created with 1 partition').waitFor();
    await page.getByRole('button', { name: 'Add', exact: true }).last().click();
    await fill(page, { Group: 'billing' }, 'Add');
    await told.getByText(/billing: generation \d+ began: 3 members, range/).waitFor();
  },

  'who wants less motion sees none': async ({ browser, url, watch }) => {
    const page = watch(await browser.newPage());
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.goto(url);
    await moving(page);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    for (let look = 0; look < 20; look += 1) {
      const moves = await page.evaluate(() => {
        const canvas = document.querySelector('canvas.motion');
        const pixels = canvas.width && canvas.height ? canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data : [];
        return { animations: document.getAnimations().length, drawn: pixels.some((value) => value > 0) };
      });
      assert.deepEqual(moves, { animations: 0, drawn: false });
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
    }
  },
};

/** Presses Tab until the control of this name has the focus; `within` a part of the page if there are many. */
async function tabTo(page, name, within) {
  const part = within && (await within.elementHandle());
  const wanted = name instanceof RegExp ? name : new RegExp(`^${name}$`);
  for (let stop = 0; stop < 400; stop += 1) {
    const there = !part || (await page.evaluate((part) => part.contains(document.activeElement), part));
    if (there && wanted.test(await focusedName(page))) return seesFocus(page);
    await page.keyboard.press('Tab');
  }
  assert.fail(`no Tab leads to ${name}`);
}

const focusedName = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    const label = element.getAttribute('aria-label') ?? element.labels?.[0]?.querySelector('span')?.textContent ?? element.textContent;
    return label.trim();
  });

async function seesFocus(page) {
  const outline = await page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return outlineStyle === 'none' ? 0 : Number.parseFloat(outlineWidth);
  });
  assert.ok(outline >= 2, 'what has the focus shows it');
}

/** Runs in the page: controls without a name, and text without the contrast that WCAG's level AA asks for. */
function audit() {
  const faults = [];
  for (const control of document.querySelectorAll('button, input, select, textarea, summary, [tabindex="0"]')) {
    const name = control.getAttribute('aria-label') || control.labels?.[0]?.textContent || control.textContent;
    if (!name.trim()) faults.push(`no name: ${control.outerHTML.slice(0, 120)}`);
  }
  for (const image of document.querySelectorAll('svg:not([aria-hidden])')) {
    if (!image.closest('[aria-hidden], [role="img"]')) faults.push(`neither named nor hidden: ${image.outerHTML.slice(0, 120)}`);
  }

  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const over = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const words = document.createTreeWalker(document.querySelector('dialog[open]') ?? document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (words.nextNode()) {
    const element = words.currentNode.parentElement;
    const style = getComputedStyle(element);
    const isSvg = element instanceof SVGElement;
    if (!words.currentNode.textContent.trim() || element.closest('.sr, :disabled, script, noscript, option') || !element.checkVisibility()) continue;
    if (element.getAnimations().length > 0) continue;
    const colors = [];
    let box = isSvg ? element.parentElement : element;
    if (isSvg) colors.unshift(getComputedStyle(element.parentElement.querySelector('rect') ?? element).fill);
    for (; box; box = box.parentElement) colors.unshift(getComputedStyle(box).backgroundColor);
    const color = isSvg ? style.fill : style.color;
    const [back, front] = [luminance(over(colors)), luminance(over([...colors, color]))];
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const fault = `${ratio.toFixed(2)}: ${element.tagName}.${element.getAttribute('class')} in ${element.parentElement.getAttribute('class')}, ${color} on ${colors.filter((color) => color !== 'rgba(0, 0, 0, 0)').at(-1)}`;
    if (ratio < (large ? 3 : 4.5) && !seen.has(fault)) {
      seen.add(fault);
      faults.push(fault);
    }
  }
  return faults;
}
