// The notation of transcripts and answers: JSON without quotes where a word needs none.
//
//   {name: orders, partitions: [0, 1], key: "two words", metadata: 0x00ff}
//
// 0x… is bytes. Transcripts also have references to earlier answers ($made.topics.0.topicId, $p.producerEpoch+1) and
// calls that build a value (batch{records: [{value: a}]}, repeat("x", 300)).

const WORD = /[A-Za-z_~%][\w.~%#-]*/y
const NUMBER = /-?\d+(\.\d+)?/y
const BYTES = /0x([0-9a-fA-F]{2})*/y
const REFERENCE = /\$(\w+)((?:\.\w+)*)([+-]\d+)?/y
const STRING = /"(?:[^"\\]|\\.)*"/y
const SPACE = /(?:[\s,]|#[^\n]*)*/y

/** A value that is not known until it is played. */
export class Later {
  /** @param {(scope: object) => unknown} resolve */
  constructor(resolve) {
    this.resolve = resolve
  }
}

class Reader {
  constructor(text) {
    this.text = text
    this.at = 0
  }

  take(pattern) {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)
    if (found) this.at = pattern.lastIndex
    return found
  }

  peek() {
    this.take(SPACE)
    return this.text[this.at]
  }

  expect(mark) {
    if (this.peek() !== mark) this.fail(`expected ${mark}`)
    this.at += 1
  }

  fail(why) {
    throw new Error(`${why} at: ${this.text.slice(this.at, this.at + 60).split('\n')[0]}`)
  }

  value() {
    const next = this.peek()
    if (next === '{') return this.braced('}', () => this.fields('}'))
    if (next === '[') return this.braced(']', () => this.values(']'))
    let found
    if ((found = this.take(STRING))) return JSON.parse(found[0])
    if ((found = this.take(BYTES))) return Buffer.from(found[0].slice(2), 'hex')
    if ((found = this.take(NUMBER))) return number(found[0])
    if ((found = this.take(REFERENCE))) return reference(found)
    if ((found = this.take(WORD))) return this.word(found[0])
    return this.fail('expected a value')
  }

  braced(end, read) {
    this.at += 1
    const value = read()
    this.expect(end)
    return value
  }

  values(end) {
    const all = []
    while (this.peek() !== end) all.push(this.value())
    return all
  }

  /** `key: value` pairs up to this mark, or to the end of the text. */
  fields(end) {
    const all = {}
    while (this.peek() !== end) {
      const [key] = this.take(STRING) ?? this.take(WORD) ?? this.fail('expected the name of a field')
      this.expect(':')
      all[key.startsWith('"') ? JSON.parse(key) : key] = this.value()
    }
    return all
  }

  word(word) {
    if (word === 'true') return true
    if (word === 'false') return false
    if (word === 'null') return null
    const next = this.text[this.at]
    if (next !== '{' && next !== '(') return word
    const argument = next === '{' ? this.value() : this.braced(')', () => this.values(')'))
    return new Later(scope => {
      const build = scope.calls[word]
      if (!build) throw new Error(`there is no call ${word}; there are ${Object.keys(scope.calls).join(', ')}`)
      const resolved = resolve(argument, scope)
      return next === '{' ? build(resolved) : build(...resolved)
    })
  }
}

/** Integers beyond 2^53 are bigints. */
export function number(text) {
  const value = Number(text)
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? BigInt(text) : value
}

function reference([text, name, path, plus]) {
  return new Later(scope => {
    let value = scope.answers[name]
    for (const key of path.split('.').slice(1)) value = value?.[key]
    if (value === undefined) throw new Error(`${text} is not there`)
    return plus ? Number(value) + Number(plus) : value
  })
}

/** The fields of `key: value` text. */
export function parseFields(text) {
  return new Reader(text).fields(undefined)
}

/** The value with its references and calls filled in. */
export function resolve(value, scope) {
  if (value instanceof Later) return value.resolve(scope)
  if (typeof value === 'string') return scope.name ? scope.name(value) : value
  if (Array.isArray(value)) return value.map(item => resolve(item, scope))
  if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, scope)]))
}

const PLAIN = /^[A-Za-z_][\w.#-]*$/
const WIDTH = 116

/** The value on one line. */
export function line(value) {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') {
    const plain = PLAIN.test(value) && !['true', 'false', 'null'].includes(value)
    return plain ? value : JSON.stringify(value)
  }
  if (Buffer.isBuffer(value)) return printable(value) ? JSON.stringify(value.toString()) : `0x${value.toString('hex')}`
  if (Array.isArray(value)) return `[${value.map(line).join(', ')}]`
  if (typeof value === 'object') return `{${fields(value).join(', ')}}`
  return String(value)
}

function fields(value) {
  return Object.entries(value).map(([key, item]) => `${line(key)}: ${line(item)}`)
}

function printable(bytes) {
  return bytes.length > 0 && bytes.every(byte => byte >= 0x20 && byte < 0x7f)
}

/** The fields of an object, one a line, broken where they are long. */
export function block(value, indent = '  ') {
  return Object.entries(value).map(([key, item]) => `${indent}${line(key)}: ${broken(item, indent)}\n`).join('')
}

function broken(value, indent) {
  const flat = line(value)
  if (flat.length + indent.length <= WIDTH || value === null || typeof value !== 'object' || Buffer.isBuffer(value)) return flat
  const within = `${indent}  `
  if (Array.isArray(value)) return `[\n${value.map(item => `${within}${broken(item, within)}\n`).join('')}${indent}]`
  return `{\n${block(value, within)}${indent}}`
}
