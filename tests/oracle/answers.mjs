// Apache Kafka's answers as they are committed: one file for each transcript.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { block, line, parseFields } from './notation.mjs'

const place = name => fileURLToPath(new URL(`answers/${name}.txt`, import.meta.url))
const hash = text => createHash('sha256').update(text).digest('hex').slice(0, 32)

export function write(name, version, text, answers) {
  const head = `# What Apache Kafka ${version} answered to ${name}.txt; written by \`cargo xtask oracle --record ${name}\`.\n# transcript ${hash(text)}\n`
  const body = answers.map(({ label, answer }, index) =>
    typeof answer === 'string' ? `\n${index + 1} ${label}: ${answer}\n` : `\n${index + 1} ${label}\n${block(answer)}`)
  writeFileSync(place(name), head + body.join(''))
}

/** The committed answers, if there are any for this text of the transcript. */
export function read(name, text) {
  if (!existsSync(place(name))) throw new Error(`no answers are committed for ${name}.txt; run \`cargo xtask oracle --record ${name}\``)
  const [, stamp, body] = readFileSync(place(name), 'utf8').match(/^#.*\n# transcript (\w+)\n([^]*)$/)
  if (stamp !== hash(text)) throw new Error(`${name}.txt has changed since its answers were written; run \`cargo xtask oracle --record ${name}\``)
  return body.split(/\n(?=\d+ )/).filter(text => text.trim()).map(stanza => {
    const [, head, fields] = stanza.match(/^\s*\d+ ([^\n]*)\n?([^]*)$/)
    const plain = head.match(/^(.*): (closed|nothing)$/)
    return plain ? { label: plain[1], answer: plain[2] } : { label: head, answer: parseFields(fields) }
  })
}

/** What a committed file would give back: bytes that are text become text. */
export function plain(answers) {
  return answers.map(({ label, answer }) => ({ label, answer: typeof answer === 'string' ? answer : parseFields(block(answer)) }))
}
export { line }
