// What the broker can do, done and seen on the page.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { addProducer, addTopic, clock, closed, fact, fill, moving, open, refused, showGroup, showPartition, showTopic, topicOf } from './page.mjs';

export const abilities = {
  'topics are made, altered and cut as the broker allows': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);

    // What the broker refuses is said in its words, and nothing that was filled in is lost.
    await page.getByRole('button', { name: 'New topic' }).click();
    const dialog = page.locator('dialog');
    await dialog.getByRole('button', { name: 'Add a config' }).click();
    await dialog.getByLabel('Config', { exact: true }).selectOption('retention.ms');
    assert.equal(await dialog.getByLabel('retention.ms', { exact: true }).inputValue(), '604800000', 'Kafka\u2019s default');
    await fill(page, { Name: 'pay ments', Partitions: '2', 'retention.ms': 'soon' }, 'Create');
    await refused(page, /INVALID_TOPIC_EXCEPTION/);
    await fill(page, { Name: 'payments' }, 'Create');
    await refused(page, 'INVALID_CONFIG: Invalid value soon for configuration retention.ms: Not a number of type LONG');
    assert.equal(await dialog.getByLabel('Partitions').inputValue(), '2');
    await fill(page, { 'retention.ms': '60000' }, 'Create');
    await closed(page);
    await topicOf(page, 'payments').locator('.partition').nth(1).waitFor();

    // Its configs later: one is changed, one taken back, one refused.
    await showTopic(page, 'payments');
    await fact(page, 'retention.ms').getByText('60000').waitFor();
    await page.getByRole('button', { name: 'Alter configs' }).click();
    await dialog.getByRole('button', { name: 'Remove retention.ms' }).click();
    await dialog.getByRole('button', { name: 'Add a config' }).click();
    await dialog.getByLabel('Config', { exact: true }).selectOption('cleanup.policy');
    await fill(page, { 'cleanup.policy': 'keep' }, 'Apply');
    await refused(page, /INVALID_CONFIG: .* String must be one of: compact, delete/);
    await fill(page, { 'cleanup.policy': 'compact' }, 'Apply');
    await closed(page);
    await fact(page, 'cleanup.policy').getByText('compact').waitFor();
    await page.locator('.panel-region dt', { hasText: 'retention.ms' }).first().waitFor({ state: 'detached' });
    await topicOf(page, 'payments').locator('.tag').getByText('compact').waitFor();

    await page.getByRole('button', { name: 'Add partitions' }).click();
    await fill(page, { 'Partitions in all': '1' }, 'Add');
    await refused(page, /INVALID_PARTITIONS/);
    await fill(page, { 'Partitions in all': '4' }, 'Add');
    await closed(page);
    await topicOf(page, 'payments').locator('.partition').nth(3).waitFor();

    // Records before an offset: from the log, and from a batch.
    await page.waitForFunction(() => Number(document.querySelectorAll('section[aria-label="Topic orders"] .ends b')[1].textContent) > 3);
    await showPartition(page, 'orders', 1);
    await page.getByRole('button', { name: 'Delete records' }).click();
    await fill(page, { 'Before offset': '999999' }, 'Delete');
    await refused(page, 'OFFSET_OUT_OF_RANGE');
    await dialog.getByRole('spinbutton').fill('2');
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await closed(page);
    await fact(page, 'Log start offset').getByText('2', { exact: true }).waitFor();
    await page.getByText('log start moved from 0 to 2: what lay below is gone').waitFor();
    // The tape moves on: what is pressed is what is there at that moment.
    await topicOf(page, 'orders').locator('.partition').nth(1).locator('.batch').last().evaluate((batch) => batch.click());
    const offset = (await page.getByRole('heading', { name: /^Batch at/ }).innerText()).replace('Batch at ', '');
    await page.getByRole('button', { name: 'Delete what is before it' }).click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await closed(page);
    await showPartition(page, 'orders', 1);
    await fact(page, 'Log start offset').getByText(offset, { exact: true }).waitFor();

    await showTopic(page, 'payments');
    await page.locator('.panel-region').getByRole('button', { name: 'Delete' }).click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await topicOf(page, 'payments').waitFor({ state: 'detached' });
  },

  'a group rebalances before one\u2019s eyes': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    await showGroup(page, 'billing');
    const panel = page.locator('.panel-region');
    await panel.getByRole('img', { name: /^State Stable, last from CompletingRebalance to Stable$/ }).waitFor();
    const generation = Number(await fact(page, 'Generation').innerText());

    await page.getByRole('button', { name: 'Add', exact: true }).last().click();
    await fill(page, { Group: 'billing', 'Instance id': 'desk-3' }, 'Add');
    await closed(page);
    // Every state that it goes through is told, with the reason.
    for (const step of ['Stable \u2192 PreparingRebalance', 'PreparingRebalance \u2192 CompletingRebalance', 'CompletingRebalance \u2192 Stable']) {
      await panel.locator('.happenings b').getByText(step, { exact: true }).first().waitFor();
    }
    await panel.getByText('billing-3 joined as the static member desk-3').waitFor();
    await panel.getByText(`generation ${generation + 1} began: 3 members, range`).waitFor();
    await panel.locator('.members tbody tr').nth(2).waitFor();
    await panel.locator('.members tr', { hasText: 'static: desk-3' }).getByText(/orders-\d/).waitFor();

    // A dynamic member that goes takes its place with it.
    await page.getByRole('button', { name: 'Member billing-2' }).click();
    await page.getByRole('button', { name: 'Leave the group' }).click();
    await showGroup(page, 'billing');
    await panel.getByText(`generation ${generation + 2} began: 2 members, range`).waitFor();
    await panel.getByText(/is gone: it left/).waitFor();
    await panel.getByRole('img', { name: /^State Stable/ }).waitFor();
    await page.getByRole('tab', { name: 'Events' }).click();
    await page.locator('.events tr', { hasText: 'billing' }).first().waitFor();
  },

  'a cooperative rebalance is drawn beside an eager one': async ({ browser, url, watch, shots }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
    const add = async (fields, assignors) => {
      await page.getByRole('button', { name: 'Add', exact: true }).last().click();
      if (assignors) await page.locator('dialog').getByLabel('Assignors').selectOption(assignors);
      await fill(page, fields, 'Add');
      await closed(page);
    };
    const group = (name) => page.getByRole('region', { name: `Group ${name}` });
    const panel = page.locator('.panel-region');
    const slow = { 'Records per second': '1' };
    await add({ Group: 'billing', ...slow });
    await add({ Group: 'audit' }, 'cooperative-sticky');
    await add({ Group: 'audit', ...slow }, 'cooperative-sticky');
    // The slow ones always have something to do, and a rebalance waits for them.
    const faster = page.getByRole('group', { name: 'Rate of shop' }).getByRole('button', { name: 'Faster' });
    for (let click = 0; click < 3; click += 1) await faster.click();
    // All three are read, by two.
    await group('audit').locator('article:has(.assigned) ~ article:has(.assigned)').waitFor();
    await group('audit').getByText('stable', { exact: true }).waitFor();

    // Slow time shows it while it is under way: each eager member stops reading, whatever it keeps in the end.
    await showGroup(page, 'billing');
    await panel.getByRole('heading', { name: 'Last rebalance' }).waitFor();
    await page.getByLabel('Speed').selectOption('0.5\u00d7');
    // The slow member may be done at that very moment: then the next one that comes shows it.
    const underWay = group('billing').getByRole('img', { name: /^Eager rebalance of billing: [12] of 3 partitions stood still/ });
    for (let attempt = 1; ; attempt += 1) {
      await add({ Group: 'billing' });
      await group('billing').locator('.assigned li.leaving', { hasText: 'to give back' }).first().waitFor();
      await pauseAt(page, 'section[aria-label="Group billing"] .given-back');
      if ((await underWay.count()) > 0) break;
      assert.ok(attempt < 5, 'no eager rebalance is seen under way');
      await page.getByRole('button', { name: 'Go on' }).click();
      await panel.getByRole('heading', { name: 'Last rebalance' }).waitFor();
    }
    await panel.getByRole('heading', { name: 'Rebalance under way' }).waitFor();
    await page.screenshot({ path: join(shots, 'rebalance-eager.png') });
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByLabel('Speed').selectOption('1\u00d7');
    await panel.getByRole('heading', { name: 'Last rebalance' }).waitFor();
    const eager = panel.getByRole('img', { name: /^Eager rebalance of billing: 3 of 3 partitions stood still/ });
    await eager.waitFor();
    assert.equal(await eager.locator('.lane:has(.gap)').count(), 3, 'nobody reads anything for a while');

    // Cooperative members read on: only what changes hands stands still.
    await page.getByLabel('Speed').selectOption('0.5\u00d7');
    await showGroup(page, 'audit');
    await add({ Group: 'audit' }, 'cooperative-sticky');
    await pauseAt(page, 'section[aria-label="Group audit"] .given-back');
    await panel.getByRole('heading', { name: 'Rebalance under way' }).waitFor();
    const reading = await group('audit').locator('.assigned li:not(.given-back):not(.awaited)').count();
    assert.equal(reading, 2, 'what does not change hands is read on');
    await page.screenshot({ path: join(shots, 'rebalance-cooperative.png') });
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByLabel('Speed').selectOption('1\u00d7');
    await panel.getByRole('heading', { name: 'Last rebalance' }).waitFor();
    const cooperative = panel.getByRole('img', { name: /^Cooperative rebalance of audit: 1 of 3 partitions stood still/ });
    await cooperative.waitFor();
    assert.equal(await cooperative.locator('.lane:has(.gap)').count(), 1, 'two are read on');
    await cooperative.getByText('It took 2 generations').waitFor();
    await panel.getByRole('img', { name: /^Eager rebalance of billing/ }).waitFor();
    await page.screenshot({ path: join(shots, 'rebalances.png') });
  },

  'compaction and retention at work, in fast time': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    for (const [name, beginning] of [['latest', 'Compacted, quick to watch'], ['recent', 'Short retention, quick to watch']]) {
      await page.getByRole('button', { name: 'New topic' }).click();
      await page.locator('dialog').getByLabel('Begin with').selectOption(beginning);
      await fill(page, { Name: name, Partitions: '1' }, 'Create');
      await closed(page);
      await page.getByRole('button', { name: 'Add', exact: true }).first().click();
      await page.locator('dialog').getByLabel('Topic').selectOption(name);
      await page.locator('dialog').getByRole('button', { name: 'Add' }).click();
      await closed(page);
    }
    const before = await clock(page);
    await page.getByLabel('Speed').selectOption('1000\u00d7');

    await showPartition(page, 'latest', 0);
    const log = page.locator('.extent');
    await log.locator('rect.look-dirty').first().waitFor();
    await page.locator('.happenings').getByText(/^cleaner began: .* dirty of/).first().waitFor();
    await page.locator('.happenings').getByText(/^cleaned up to offset [\d,]+: 20 of [\d,]+ records are left/).first().waitFor();
    await log.locator('rect.look-clean').first().waitFor();

    await showPartition(page, 'recent', 0);
    await page.locator('.happenings').getByText(/^log start moved from/).first().waitFor({ timeout: 60_000 });
    await page.waitForFunction(() => {
      const [, start] = document.querySelector('.extent svg').getAttribute('aria-label').match(/offsets (\d+) to/);
      return Number(start) > 0;
    });
    await page.getByRole('tab', { name: 'Events' }).click();
    await page.locator('.events tr', { hasText: 'latest-0' }).first().waitFor();
    await page.getByLabel('Speed').selectOption('1\u00d7');
    assert.ok((await clock(page)) > before);

    // Fast time waited for the store: nobody lost their session.
    await showGroup(page, 'billing');
    await page.getByRole('img', { name: /^State Stable/ }).waitFor();
    assert.equal(await page.getByText(/is gone: no heartbeat/).count(), 0);
    await page.locator('.assigned li', { hasText: 'caught up' }).nth(2).waitFor();
  },

  'transactions are seen as they are written': async ({ browser, url, watch }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await addTopic(page, 'transfers', 1);
    await addProducer(page, 'transfers', { 'Records per second': '5', 'Transactional id': 'bank', 'Records in each': '4', 'Aborted': '50' });
    const topic = topicOf(page, 'transfers');
    // Batches of open, aborted and committed transactions, and the markers that tell them apart.
    for (const fate of ['in an open transaction', 'aborted', 'in a committed transaction', 'the marker of a commit', 'the marker of an abort']) {
      await topic.getByRole('button', { name: new RegExp(`, ${fate}$`) }).first().waitFor({ timeout: 60_000 });
    }
    await topic.locator('.stable').waitFor();

    await page.getByRole('button', { name: 'Transactional id bank' }).click();
    const panel = page.locator('.panel-region');
    await panel.getByRole('img', { name: /^State Ongoing/ }).waitFor();
    for (const step of ['Ongoing \u2192 PrepareCommit', 'PrepareCommit \u2192 CompleteCommit', 'Ongoing \u2192 PrepareAbort', 'PrepareAbort \u2192 CompleteAbort']) {
      await panel.locator('.happenings b').getByText(step, { exact: true }).first().waitFor({ timeout: 60_000 });
    }
    await panel.locator('.partitions').getByText('transfers-0').waitFor();
    const producer = await fact(page, 'Producer id').innerText();
    await page.getByRole('button', { name: 'Producer transfers-producer-1' }).click();
    assert.ok(Number(await fact(page, 'Aborted').innerText()) > 0);

    // Who reads what is committed stays before the open transaction; who reads all is ahead.
    await page.getByRole('button', { name: 'Add', exact: true }).last().click();
    await page.locator('dialog').getByLabel('Topic').selectOption('transfers');
    await page.locator('dialog').getByLabel('Reads').selectOption('read_committed');
    await fill(page, { Group: 'ledger' }, 'Add');
    await closed(page);
    await page.getByRole('region', { name: 'Group ledger' }).locator('.assigned li', { hasText: 'transfers-0' }).waitFor();
    await page.waitForFunction(() => {
      const mark = document.querySelector('section[aria-label="Topic transfers"] .position')?.getAttribute('title');
      const stable = document.querySelector('section[aria-label="Topic transfers"] .stable')?.getAttribute('title');
      const offset = (title, before) => Number(title?.match(before)?.[1]);
      return offset(mark, /reads (\d+) next/) === offset(stable, /last stable offset (\d+)/);
    });

    // The partition knows the producer, and where its open transaction began.
    await showPartition(page, 'transfers', 0);
    const row = panel.locator('.table tr', { has: page.getByRole('cell', { name: producer, exact: true }) }).first();
    await row.locator('td').nth(4).getByText(/^\d+$/).waitFor();
  },

  'a copier reads and writes in one transaction': async ({ browser, url, watch, shots }) => {
    const page = watch(await open(browser, url));
    await moving(page);
    await addTopic(page, 'invoices', 1);
    await page.getByRole('button', { name: 'Add copier' }).click();
    await page.locator('dialog').getByLabel('Source topic').selectOption('orders');
    await page.locator('dialog').getByLabel('Target topic').selectOption('orders');
    await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click();
    await refused(page, /of orders into itself/);
    await page.locator('dialog').getByLabel('Target topic').selectOption('invoices');
    await fill(page, { Group: 'invoicing', 'Transactional id': 'scribe', 'Records in each': '4', Aborted: '40' }, 'Add');
    await closed(page);

    // It is a member of its group, and a producer whose transactions its coordinator knows.
    const group = page.getByRole('region', { name: 'Group invoicing' });
    await group.locator('.assigned li').nth(2).waitFor();
    await group.locator('.copies').getByText('invoices').waitFor();
    await group.locator('.open-transaction').waitFor();
    const topic = topicOf(page, 'invoices');
    for (const fate of ['in an open transaction', 'aborted', 'in a committed transaction', 'the marker of a commit', 'the marker of an abort']) {
      await topic.getByRole('button', { name: new RegExp(`, ${fate}$`) }).first().waitFor({ timeout: 60_000 });
    }
    await page.getByRole('button', { name: 'Member orders-copier-1' }).click();
    await fact(page, 'Copies').getByText('orders to invoices').waitFor();
    await fact(page, 'Transactional id').getByText('scribe').waitFor();
    await page.waitForFunction(() => {
      const facts = [...document.querySelectorAll('.panel-region dt')].map((name) => [name.textContent, Number(name.nextElementSibling.textContent.replaceAll(',', ''))]);
      const { 'Records copied': copied, Committed: committed, Aborted: aborted } = Object.fromEntries(facts);
      return copied > 0 && committed > 0 && aborted > 0;
    });
    await page.screenshot({ path: join(shots, 'copier.png') });
    // Where it has read up to is committed with what it wrote.
    await showGroup(page, 'invoicing');
    const panel = page.locator('.panel-region');
    await panel.locator('.table.offsets tbody td:nth-child(2)').getByText(/^[1-9]/).first().waitFor();
    await panel.getByText(/wait for the transaction of producer/).first().waitFor();
    await page.getByRole('button', { name: 'Transactional id scribe' }).click();
    await panel.locator('.happenings b').getByText('PrepareCommit \u2192 CompleteCommit', { exact: true }).first().waitFor();

    // It goes on after a reload, and can be taken away.
    await page.reload();
    await moving(page);
    await group.locator('.copies').waitFor();
    // The member that it was before is there until its session is over.
    await page.waitForFunction(() => {
      const members = [...document.querySelectorAll('section[aria-label="Group invoicing"] article')];
      return members.length === 1 && members[0].querySelectorAll('.copies ~ .assigned li').length === 3;
    });
    await page.getByRole('button', { name: 'Member orders-copier-1' }).click();
    await page.getByRole('button', { name: 'Leave the group' }).click();
    await group.getByText('No members').waitFor();
  },
};

/** Pauses in the frame in which the page shows something that does not last. */
async function pauseAt(page, shown) {
  await page.waitForFunction((shown) => {
    if (document.querySelector(shown) === null) return false;
    document.querySelector('button[title^="Pause"]').click();
    return true;
  }, shown);
  await page.getByRole('button', { name: 'Go on' }).waitFor();
}
