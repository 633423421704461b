// What the journeys do and look at on the page.

/** A new tab at the page. */
export async function open(browser, url) {
  const page = await browser.newPage();
  await page.goto(url);
  return page;
}

/** Waits until every partition has gone beyond `ends`, or is not empty. */
export async function moving(page, ends = [0, 0, 0]) {
  await page.waitForFunction(
    (before) => {
      const row = document.querySelector('section[aria-label="Topic orders"]');
      const now = [...(row?.querySelectorAll('.ends b') ?? [])].map((end) => Number(end.textContent.replaceAll(',', '')));
      return now.length === before.length && now.every((end, index) => end >= before[index]) && now.some((end, index) => end > before[index]);
    },
    ends,
    { timeout: 60_000 },
  );
}

/** The ends of the partitions of `orders`. */
export const ends = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('section[aria-label="Topic orders"] .ends b')].map((end) => Number(end.textContent.replaceAll(',', ''))),
  );

export const batches = (page) => page.locator('section[aria-label="Topic orders"] .batch').count();

export const clock = (page) => page.locator('.cluster-time').innerText();

/** Opens the panel of the group and waits for a committed offset; says the greatest. */
export async function committed(page) {
  await page.getByRole('region', { name: 'Group billing' }).getByRole('button', { name: 'billing', exact: true }).click();
  const panel = page.locator('.panel-region');
  await panel.getByRole('heading', { name: 'billing' }).waitFor();
  await panel.locator('.table.offsets tbody td:nth-child(2)').first().waitFor();
  const offsets = await panel.locator('.table.offsets tbody td:nth-child(2)').allInnerTexts();
  await page.keyboard.press('Escape');
  return Math.max(...offsets.map((offset) => Number(offset.replaceAll(',', ''))));
}

/** Presses a button that hands the visitor a file; resolves to the place where it lies. */
export async function download(page, button) {
  const [file] = await Promise.all([page.waitForEvent('download'), button.click()]);
  return file.path();
}

/** Resets the cluster by the button that is in sight, and waits until the clock has begun anew if there is one. */
export async function reset(page) {
  const [before] = await page.locator('.cluster-time').allInnerTexts();
  await page.getByRole('button', { name: 'Reset the cluster' }).first().click();
  await page.locator('dialog').getByRole('button', { name: 'Reset' }).click();
  if (!before) return;
  await page.waitForFunction((before) => (document.querySelector('.cluster-time')?.textContent.trim() ?? before) < before, before.trim());
}

/** Fills a dialog in: text and numbers by label, then the button that does it. */
export async function fill(page, fields, button) {
  for (const [label, value] of Object.entries(fields)) await page.locator('dialog').getByLabel(label).first().fill(value);
  await page.locator('dialog').getByRole('button', { name: button, exact: true }).click();
}

/** Waits until what the dialog asked for is done. */
export const closed = (page) => page.locator('dialog').waitFor({ state: 'detached' });

/** Adds a topic by its dialog. */
export async function addTopic(page, name, partitions) {
  await page.getByRole('button', { name: 'New topic' }).click();
  await fill(page, { Name: name, Partitions: `${partitions}` }, 'Create');
  await closed(page);
}

/** Adds a producer of a topic by its dialog. */
export async function addProducer(page, topic, fields) {
  await page.getByRole('button', { name: 'Add', exact: true }).first().click();
  await page.locator('dialog').getByLabel('Topic').selectOption(topic);
  await fill(page, fields, 'Add');
  await closed(page);
}

/** Waits until the dialog says that the broker refused, and why. */
export const refused = (page, why) => page.locator('dialog').getByRole('alert').getByText(why).waitFor();

export const topicOf = (page, name) => page.getByRole('region', { name: `Topic ${name}` });

/** Opens the panel of a topic, a partition of it or a group. */
export const showTopic = (page, name) => topicOf(page, name).getByRole('button', { name, exact: true }).click();
export const showPartition = (page, name, index) =>
  topicOf(page, name).getByRole('button', { name: `Partition ${index}`, exact: true }).click();
export const showGroup = (page, name) => page.getByRole('region', { name: `Group ${name}` }).getByRole('button', { name, exact: true }).click();

/** A value of the panel's list, by its name. */
export const fact = (page, name) => page.locator('.panel-region dt', { hasText: name }).locator('+ dd').first();
