// docs/SUITES.md: one section a suite, one row a test. A run of both sides writes it, a run of ours reads it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const FILE = fileURLToPath(new URL('../../docs/SUITES.md', import.meta.url))
const HEAD = `# Suites of others

What others wrote to test their clients and tools, played to Apache Kafka 4.3.1 (one node) and to \`shore serve\`, test by
test. What Apache Kafka passes, ours passes; where it does not, the row says why. The sections below are written by
\`cargo xtask suites\`; \`cargo xtask test suites\` runs our side of the tests in **bold**.
[tests/suites/README.md](../tests/suites/README.md) says how.
`

/** What Apache Kafka did: by the test's name. Empty where the suite was not run on both sides. */
export function readTable(suite) {
  const rows = section(suite).matchAll(/^\| \**([^|*]+?)\** \| (passes|fails|skipped) \| \w+ \| (.*) \|$/gm)
  return new Map([...rows].map(([, test, verdict, why]) => [test, { verdict, why }]))
}

export function writeTable(suite, rows) {
  const count = (side, verdict) => rows.filter(row => row[side].verdict === verdict).length
  const tell = side => `passes ${count(side, 'passes')}, fails ${count(side, 'fails')}, skips ${count(side, 'skipped')}`
  const text = [
    `## ${suite.name}`,
    '',
    `${suite.about}. \`cargo xtask suites ${suite.name}\`: of ${rows.length} tests Apache Kafka ${tell('theirs')}; ours ${tell('mine')}.`,
    '',
    '| test | Apache Kafka | ours | |',
    '|---|---|---|---|',
    ...rows.map(row => `| ${row.subset ? `**${row.name}**` : row.name} | ${row.theirs.verdict} | ${row.mine.verdict} | ${remark(row)} |`),
    '',
  ].join('\n')
  const others = sections().filter(other => !other.startsWith(`## ${suite.name}\n`))
  writeFileSync(FILE, [HEAD, ...[...others, text].sort()].join('\n'))
}

/** Why it is so: written down with the suite, or what the test said when it skipped itself. */
function remark(row) {
  const text = row.explained ?? row.note ?? (row.theirs.verdict === 'skipped' ? row.theirs.why : undefined) ?? ''
  return text.replaceAll('|', '/').replace(/\s+/g, ' ').trim()
}

function sections() {
  if (!existsSync(FILE)) return []
  return readFileSync(FILE, 'utf8').split(/^(?=## )/m).slice(1).map(text => `${text.trimEnd()}\n`)
}

function section(suite) {
  return sections().find(text => text.startsWith(`## ${suite}\n`)) ?? ''
}
