// Apache Kafka's answers as they are committed: a file for each transcript, and one for those that are drawn.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { block, line, parseFields } from './notation.mjs'

const place = name => fileURLToPath(new URL(`answers/${name}.txt`, import.meta.url))
const hash = text => createHash('sha256').update(text).digest('hex').slice(0, 32)
const isDrawn = transcript => /^g-\d+$/.test(transcript.name)
const fileOf = transcript => (isDrawn(transcript) ? `generated-${transcript.referee}` : transcript.name)

/** Writes down what Kafka said: to transcripts whose files are theirs alone, and to drawn ones. */
export function write(said) {
  const head = referee => `# What Apache Kafka ${referee} answered; written by \`cargo xtask oracle --record\`.\n`
  const drawn = {}
  for (const [transcript, answers] of said) {
    const { name, referee, text } = transcript
    if (!isDrawn(transcript)) {
      writeFileSync(place(name), `${head(referee)}\n# ${name} ${hash(text)}\n${answers.map(spacious).join('')}`)
    } else {
      drawn[referee] ??= sections(fileOf(transcript))
      drawn[referee].set(name, { stamp: hash(text), body: answers.map(dense).join('') })
    }
  }
  for (const [referee, all] of Object.entries(drawn)) {
    const text = [...all].sort().map(([name, { stamp, body }]) => `\n# ${name} ${stamp}\n${body}`)
    writeFileSync(place(`generated-${referee}`), head(referee) + text.join(''))
  }
}

function spacious({ label, answer }, index) {
  return typeof answer === 'string' ? `\n${index + 1} ${label}: ${answer}\n` : `\n${index + 1} ${label}\n${block(answer)}`
}

function dense({ label, answer }, index) {
  if (typeof answer === 'string') return `${index + 1} ${label}: ${answer}\n`
  return `${index + 1} ${label}\n  ${Object.entries(answer).map(([key, value]) => `${key}: ${line(value)}`).join(', ')}\n`
}

/** The transcripts in a file of answers. */
function sections(file) {
  if (!existsSync(place(file))) return new Map()
  const parts = readFileSync(place(file), 'utf8').split(/\n# ([\w.-]+) ([0-9a-f]{32})\n/)
  const all = new Map()
  for (let at = 1; at < parts.length; at += 3) all.set(parts[at], { stamp: parts[at + 1], body: `${parts[at + 2].trimEnd()}\n` })
  return all
}

const files = {}
/** The committed answers to this text of the transcript. */
export function read(transcript) {
  const { name, text } = transcript
  const remedy = `run \`cargo xtask oracle --record ${name}\``
  const file = fileOf(transcript)
  const there = (files[file] ??= sections(file)).get(name)
  if (!there) throw new Error(`no answers to ${name} are committed; ${remedy}`)
  if (there.stamp !== hash(text)) throw new Error(`${name} has changed since its answers were written; ${remedy}`)
  return there.body.split(/\n(?=\d+ )/).filter(text => text.trim()).map(stanza => {
    const [, head, fields] = stanza.match(/^\s*\d+ ([^\n]*)\n?([^]*)$/)
    const plain = head.match(/^(.*): (closed|nothing)$/)
    return plain ? { label: plain[1], answer: plain[2] } : { label: head, answer: parseFields(fields) }
  })
}

/** What a committed file would give back: bytes that are text become text. */
export function plain(answers) {
  return answers.map(({ label, answer }) => ({ label, answer: typeof answer === 'string' ? answer : parseFields(block(answer)) }))
}
