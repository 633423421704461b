// Apache Kafka's answers as they are committed: a file for each transcript, and one for those that are drawn.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { block, line, parseFields } from './notation.mjs'

const DRAWN = 'generated'
const place = name => fileURLToPath(new URL(`answers/${name}.txt`, import.meta.url))
const hash = text => createHash('sha256').update(text).digest('hex').slice(0, 32)
const isDrawn = transcript => /^g-\d+$/.test(transcript.name)

/** Writes down what Kafka said: to transcripts whose files are theirs alone, and to drawn ones. */
export function write(version, said) {
  const head = `# What Apache Kafka ${version} answered; written by \`cargo xtask oracle --record\`.\n`
  for (const [transcript, answers] of said.filter(([transcript]) => !isDrawn(transcript))) {
    writeFileSync(place(transcript.name), `${head}\n# ${transcript.name} ${hash(transcript.text)}\n${answers.map(spacious).join('')}`)
  }
  const drawn = sections(DRAWN)
  for (const [transcript, answers] of said.filter(([transcript]) => isDrawn(transcript))) {
    drawn.set(transcript.name, { stamp: hash(transcript.text), body: answers.map(dense).join('') })
  }
  const text = [...drawn].sort().map(([name, { stamp, body }]) => `\n# ${name} ${stamp}\n${body}`)
  if (drawn.size > 0) writeFileSync(place(DRAWN), head + text.join(''))
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

let drawn
/** The committed answers to this text of the transcript. */
export function read(transcript) {
  const { name, text } = transcript
  const remedy = `run \`cargo xtask oracle --record ${name}\``
  const there = (isDrawn(transcript) ? (drawn ??= sections(DRAWN)) : sections(name)).get(name)
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
