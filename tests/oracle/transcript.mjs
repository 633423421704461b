// Reads a transcript: what is sent, over which connections, in which order. README.md tells the notation.
import { parseFields } from './notation.mjs'
import { errorCode } from './errors.mjs'

/**
 * @typedef {object} Step
 * @property {'request'|'answer'|'close'|'wait'|'raw'} kind
 * @property {string} label  what the answers file calls it
 */

/** The version of Apache Kafka that is asked where a transcript does not say. */
export const REFERENCE = '4.3.1'

/** @returns {{name: string, text: string, alone: boolean, referee: string, steps: Step[]}} */
export function parseTranscript(name, text) {
  const transcript = { name, text, alone: false, referee: REFERENCE, steps: [] }
  for (const { head, body, at, loose } of stanzas(repeat(text))) {
    try {
      const [first, ...words] = head.split(/\s+/)
      if (first === 'alone') transcript.alone = true
      else if (first === 'referee') transcript.referee = words[0]
      else transcript.steps.push(...steps(first, words, body, loose))
    } catch (error) {
      throw new Error(`${name}.txt, line ${at} (${head}): ${error.message}`)
    }
  }
  return transcript
}

/** `each 0-3` … `end` stands for the lines between, once for every number; `%v` is the number. Like a range of versions,
 * it may name fields that a version lacks. */
function repeat(text) {
  const out = []
  let block
  text.split('\n').forEach((line, index) => {
    const each = line.match(/^each (\d+)-(\d+)\s*$/)
    if (each) block = { from: Number(each[1]), to: Number(each[2]), lines: [] }
    else if (line.trim() === 'end' && block) {
      for (let v = block.from; v <= block.to; v += 1) {
        for (const [line, at] of block.lines) out.push([line.replaceAll('%v', v), at, true])
      }
      block = undefined
    } else (block?.lines ?? out).push([line, index + 1, false])
  })
  if (block) throw new Error('an `each` without its `end`')
  return out
}

function stanzas(lines) {
  const all = []
  for (const [line, at, loose] of lines) {
    if (/^\s*(#|$)/.test(line)) continue
    if (/^\s/.test(line)) {
      if (all.length === 0) throw new Error(`line ${at} belongs to no request`)
      all.at(-1).body += `${line}\n`
    } else all.push({ head: line.trim(), body: '', at, loose })
  }
  return all
}

const DIRECTIVES = { answer: name => ({ name }), close: conn => ({ conn }), wait: ms => ({ ms: Number(ms) }) }

function steps(first, words, body, loose) {
  if (first in DIRECTIVES) return [{ kind: first, label: [first, ...words].join(' '), ...DIRECTIVES[first](words[0]) }]
  const options = readOptions(first === 'raw' ? words : words.slice(1))
  if (first === 'raw') return [{ kind: 'raw', label: 'raw', ...options, body: parseFields(body) }]
  const [from, to = from] = words[0].split('-').map(Number)
  if (!(to >= from)) throw new Error('after an API comes its version, or the first and the last: 0-5')
  return Array.from({ length: to - from + 1 }, (_, index) => {
    const version = from + index
    const fields = parseFields(body.replaceAll('%v', version))
    return { kind: 'request', label: `${first} ${version}`, api: first, version, loose: loose || to > from, ...options, body: fields }
  })
}

/** `@conn`, `as NAME`, `later`, `client ID`, `again ERROR...`. */
function readOptions(words) {
  const options = { conn: '@main', again: [] }
  const rest = [...words]
  while (rest.length > 0) {
    const word = rest.shift()
    if (word.startsWith('@')) options.conn = word
    else if (word === 'as') options.as = rest.shift()
    else if (word === 'later') options.later = true
    else if (word === 'client') options.client = rest[0] === 'null' ? rest.shift() && null : rest.shift().replace(/^"(.*)"$/, '$1')
    else if (word === 'again') options.again = rest.splice(0).map(errorCode)
    else throw new Error(`what is ${word}?`)
  }
  if (options.later && !options.as) throw new Error('a request whose answer comes later needs a name (as NAME)')
  return options
}
