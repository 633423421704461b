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
  await panel.locator('.table tbody td:nth-child(2)').first().waitFor();
  const offsets = await panel.locator('.table tbody td:nth-child(2)').allInnerTexts();
  await page.keyboard.press('Escape');
  return Math.max(...offsets.map((offset) => Number(offset.replaceAll(',', ''))));
}

/** Presses a button that hands the visitor a file; resolves to the place where it lies. */
export async function download(page, button) {
  const [file] = await Promise.all([page.waitForEvent('download'), button.click()]);
  return file.path();
}

/** Resets the cluster by the button that is in sight. */
export async function reset(page) {
  await page.getByRole('button', { name: 'Reset the cluster' }).first().click();
  await page.locator('dialog').getByRole('button', { name: 'Reset' }).click();
}
