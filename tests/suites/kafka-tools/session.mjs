// A session with Kafka's shell tools: what was asked and what was said. README.md tells of the notation.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const SESSIONS = fileURLToPath(new URL('sessions/', import.meta.url))

export function file(name) {
  return `${SESSIONS}${name}.txt`
}

/** What brokers, or one at another time, say differently by nature, and its name. Everything else is compared. */
const NAMED = [
  [/(127\.0\.0\.1|localhost)(:| +)\d+/g, 'HOST$2PORT'],
  [/\/[^\s"]*\/(kafka-oracle-\w+\/logs|shore-oracle-\w+\/n1\/d0)|(?<=")n1\/d0(?=")/g, 'LOGS'],
  [/\/[^\s"]*\/input-\d+\.txt/g, 'INPUT'],
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID'],
  [/((?:TopicId|Cluster ID|ClusterId|directoryId|topicId|DirectoryId)["]?:?\s*"?)[\w-]{22}\b/g, '$1ID'],
  [/\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?/g, 'TIME'],
  [/\b20\d\d[-/]\d\d[-/]\d\d \d\d:\d\d:\d\d([:.,]\d+)?/g, 'TIME'],
  [/\b1[789]\d{11}\b/g, 'TIME'],
  [/\b\d+ ms ago\b/g, 'TIME'],
  // An idle controller goes on writing, once in a while.
  [/(HighWatermark: +|Epoch: )\d+$/, '$1N'],
  [/^(\| 1\s+[\w-]{22}\s+)\d+/, '$1N'],
  [/console-consumer-\d+/g, 'console-consumer-N'],
  [/(crc: )\d+/g, '$1CRC'],
  // What was measured.
  [/(records sent, ).*$/, '$1RATES'],
  [/^(\| TIME, TIME, [\d.]+, )[\d.]+(, \d+, ).*$/, '$1RATE$2RATES'],
  [/("avg_throughput":)[\d.]+/, '$1RATE'],
  [/^(\| \d+\t)[\d.]+$/, '$1LATENCY'],
  [/^(\| (Avg latency|Percentiles): ).*$/, '$1LATENCIES'],
]

/** One line that was said. Columns are as wide as their widest cell: only that there is a gap is kept. */
function normal(line) {
  for (const [what, name] of NAMED) line = line.replace(what, name)
  return line.replace(/ {2,}/g, '  ').replace(/-{4,}/g, '----').trimEnd()
}

/** A session as it is written down: without stack traces and tables of options, which brokers have no part in. */
export function normalized(session) {
  const kept = []
  let table = false
  for (const line of session.split('\n')) {
    if (!line.startsWith('|')) table = false
    else if (/^\| Option +Description$/.test(line)) table = true
    const text = line.startsWith('|') ? normal(line) : line
    // How often a tool says how far it is depends on how fast it is.
    const again = text === kept.at(-1) && text.includes('"stage":"ProcessLoop"')
    if (!table && !again && !/^\| \t(at |\.\.\. )/.test(line)) kept.push(text)
  }
  return kept.join('\n')
}

/** Its commands: each with why ours differs, if it does, and what was said. */
function commands(session) {
  const found = []
  for (const line of session.split('\n')) {
    if (line.startsWith('$ ')) found.push({ command: line.slice(2), why: '', said: [] })
    else if (line.startsWith('~ ')) found.at(-1).why = line.slice(2)
    else if (/^(\||\? )/.test(line)) found.at(-1).said.push(line)
  }
  return found
}

/** Where a session that was played does not say what is written down, or does where ours is written to differ (`why`). */
export function compare(name, played, { ours }) {
  const differs = []
  const now = commands(normalized(played))
  for (const [at, { command, why, said }] of commands(readFileSync(file(name), 'utf8')).entries()) {
    const same = now[at]?.said.join('\n') === said.join('\n')
    if (ours && why ? same : !same) differs.push({ command, expected: said, said: now[at]?.said ?? [], why: ours ? why : '' })
  }
  return differs
}
