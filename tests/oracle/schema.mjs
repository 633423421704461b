// Encodes requests and decodes answers by Kafka's own message schemas. It knows nothing of kafka-shore, and is
// therefore a second opinion on its bytes too.
//
// The schemas are those in Apache Kafka's kafka-clients jar (common/message/*.json), without their prose: one message
// a line in schemas/VERSION.json, written by `node schema.mjs JAR VERSION`.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
export const ZERO_UUID = '0'.repeat(32)

// ---- The schemas ----

/** Every API of a version of Kafka, by name: {name, key, request, response, min, max}; a version that is not final is left
 * out of the range. */
export function loadApis(version) {
  return (loaded[version] ??= readApis(version))
}

const loaded = {}

function readApis(version) {
  const messages = JSON.parse(readFileSync(`${HERE}schemas/${version}.json`, 'utf8'))
  const apis = {}
  for (const message of messages) {
    const [, name, type] = message.name.match(/^(.*)(Request|Response)$/)
    const schema = { ...message, flexible: range(message.flexible), fields: message.fields.map(field) }
    const [min, max] = range(message.valid)
    const newest = message.unstable ? max - 1 : max
    apis[name] = { ...apis[name], name, key: message.key, [type.toLowerCase()]: schema, ...(type === 'Request' && { min, max: newest }) }
  }
  return apis
}

function field([name, type, versions, more = {}]) {
  const array = type.startsWith('[]')
  const item = array ? type.slice(2) : type
  return {
    name, array, item,
    versions: range(versions),
    nullable: range(more.nullable),
    tagged: range(more.tagged),
    tag: more.tag,
    default: more.default,
    fields: more.fields?.map(field),
  }
}

/** `3+`, `2-5`, `4` or `none` as the first and the last version. */
function range(text) {
  if (!text || text === 'none') return [1, 0]
  const [, min, more, max] = text.match(/^(\d+)(\+|-)?(\d+)?$/)
  return [Number(min), more === '+' ? 32767 : Number(max ?? min)]
}

const within = ([min, max], version) => version >= min && version <= max

export function defaultOf(field, version) {
  if (field.default === 'null') return null
  if (field.array) return []
  if (field.fields) return undefined
  switch (field.item) {
    case 'bool': return field.default === 'true' || field.default === true
    case 'string': return field.default ?? ''
    case 'bytes': return Buffer.alloc(0)
    case 'records': return null
    case 'uuid': return ZERO_UUID
    case 'int64': return field.default === undefined ? 0 : small(BigInt(field.default))
    default: return Number(field.default ?? 0)
  }
}

const small = value => (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value)

// ---- Writing ----

const INTEGERS = { int8: 1, int16: 2, uint16: 2, int32: 4, uint32: 4, int64: 8 }

export class Writer {
  chunks = []

  integer(value, bytes) {
    const all = Buffer.alloc(bytes)
    let rest = BigInt.asUintN(bytes * 8, BigInt(value))
    for (let at = bytes - 1; at >= 0; at -= 1, rest >>= 8n) all[at] = Number(rest & 0xffn)
    this.chunks.push(all)
  }

  unsigned(value) {
    const all = []
    for (let rest = BigInt(value); ; rest >>= 7n) {
      if (rest < 0x80n) return void this.chunks.push(Buffer.from([...all, Number(rest)]))
      all.push(Number(rest & 0x7fn) | 0x80)
    }
  }

  signed(value) {
    const wide = BigInt(value)
    this.unsigned(BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n)))
  }

  raw(bytes) {
    this.chunks.push(Buffer.from(bytes))
  }

  /** A length before its content, null being -1; `bytes` wide where it is not a varint. */
  length(length, compact, bytes) {
    if (compact) this.unsigned(length + 1)
    else this.integer(length, bytes)
  }

  done() {
    return Buffer.concat(this.chunks)
  }
}

function writeStruct(out, fields, value, version, flexible, path, loose) {
  for (const key of Object.keys(value)) {
    const known = fields.find(field => field.name === key)
    if (!known) throw new Error(`${path} has no field ${key}; it has ${fields.map(field => field.name).join(', ')}`)
    if (!loose && !within(known.versions, version)) throw new Error(`${path}.${key} is not in version ${version}`)
  }
  const tagged = []
  for (const field of fields) {
    if (!within(field.versions, version)) continue
    const given = value[field.name] === undefined ? defaultOf(field, version) : value[field.name]
    if (within(field.tagged, version)) {
      if (value[field.name] !== undefined) tagged.push([field, given])
    } else writeField(out, field, given, version, flexible, `${path}.${field.name}`, loose)
  }
  if (!flexible) return
  out.unsigned(tagged.length)
  for (const [field, given] of tagged.sort((a, b) => a[0].tag - b[0].tag)) {
    const content = new Writer()
    writeField(content, field, given, version, flexible, `${path}.${field.name}`, loose)
    const bytes = content.done()
    out.unsigned(field.tag)
    out.unsigned(bytes.length)
    out.raw(bytes)
  }
}

function writeField(out, field, value, version, flexible, path, loose) {
  if (!field.array) return writeItem(out, field, value, version, flexible, path, loose)
  if (value !== null && !Array.isArray(value)) throw new Error(`${path} is a list`)
  out.length(value === null ? -1 : value.length, flexible, 4)
  for (const item of value ?? []) writeItem(out, field, item, version, flexible, path, loose)
}

function writeItem(out, field, value, version, flexible, path, loose) {
  if (field.fields) {
    if (!field.array && field.nullable[0] <= field.nullable[1]) {
      out.integer(value === null || value === undefined ? -1 : 1, 1)
      if (value === null || value === undefined) return
    }
    return writeStruct(out, field.fields, value ?? {}, version, flexible, path, loose)
  }
  const bytes = INTEGERS[field.item]
  try {
    if (bytes) return out.integer(value, bytes)
  } catch {
    throw new Error(`${path} is a number, not ${value}`)
  }
  switch (field.item) {
    case 'bool': return out.integer(value ? 1 : 0, 1)
    case 'float64': {
      const all = Buffer.alloc(8)
      all.writeDoubleBE(value)
      return out.raw(all)
    }
    case 'uuid': return out.raw(Buffer.from(value, 'hex'))
    case 'string': {
      const text = value === null ? undefined : Buffer.isBuffer(value) ? value : Buffer.from(String(value))
      out.length(text?.length ?? -1, flexible, 2)
      return text && out.raw(text)
    }
    case 'bytes':
    case 'records': {
      const parts = value === null || Buffer.isBuffer(value) ? value : Array.isArray(value) ? Buffer.concat(value) : Buffer.from(value)
      out.length(parts?.length ?? -1, flexible, 4)
      return parts && out.raw(parts)
    }
    default: throw new Error(`${path}: type ${field.item}`)
  }
}

/** A request's frame, length included. `loose` drops what the version does not have. */
export function encodeRequest(api, version, correlation, clientId, body, loose = false) {
  const flexible = within(api.request.flexible, version)
  const out = new Writer()
  out.integer(api.key, 2)
  out.integer(version, 2)
  out.integer(correlation, 4)
  out.length(clientId === null ? -1 : Buffer.byteLength(clientId), false, 2)
  out.raw(clientId ?? '')
  if (flexible) out.unsigned(0)
  writeStruct(out, api.request.fields, body, version, flexible, api.name, loose)
  return framed(out.done())
}

export function framed(bytes) {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

// ---- Reading ----

export class Reader {
  constructor(bytes) {
    this.bytes = bytes
    this.at = 0
  }

  raw(length) {
    if (length < 0 || this.at + length > this.bytes.length) throw new Error(`the answer ends within a field of ${length} bytes`)
    return this.bytes.subarray(this.at, (this.at += length))
  }

  integer(bytes, unsigned = false) {
    let value = 0n
    for (const byte of this.raw(bytes)) value = (value << 8n) | BigInt(byte)
    return small(unsigned ? value : BigInt.asIntN(bytes * 8, value))
  }

  unsigned() {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.integer(1, true)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return small(value)
    }
  }

  signed() {
    const value = BigInt(this.unsigned())
    return small((value >> 1n) ^ -(value & 1n))
  }

  length(compact, bytes) {
    return compact ? this.unsigned() - 1 : this.integer(bytes)
  }

  rest() {
    return this.bytes.subarray(this.at)
  }
}

function readStruct(input, fields, version, flexible) {
  const value = {}
  for (const field of fields) {
    if (!within(field.versions, version)) continue
    if (within(field.tagged, version)) value[field.name] = defaultOf(field, version)
    else value[field.name] = readField(input, field, version, flexible)
  }
  if (!flexible) return value
  for (let count = input.unsigned(); count > 0; count -= 1) {
    const tag = input.unsigned()
    const content = new Reader(input.raw(input.unsigned()))
    const field = fields.find(field => field.tag === tag && within(field.tagged, version) && within(field.versions, version))
    if (!field) throw new Error(`there is no tag ${tag}`)
    value[field.name] = readField(content, field, version, flexible)
    if (content.rest().length > 0) throw new Error(`tag ${tag} (${field.name}) goes on after its end`)
  }
  return value
}

function readField(input, field, version, flexible) {
  if (!field.array) return readItem(input, field, version, flexible)
  const length = input.length(flexible, 4)
  return length < 0 ? null : Array.from({ length }, () => readItem(input, field, version, flexible))
}

function readItem(input, field, version, flexible) {
  if (field.fields) {
    if (!field.array && field.nullable[0] <= field.nullable[1] && input.integer(1) < 0) return null
    return readStruct(input, field.fields, version, flexible)
  }
  const bytes = INTEGERS[field.item]
  if (bytes) return input.integer(bytes, field.item.startsWith('u'))
  switch (field.item) {
    case 'bool': return input.integer(1) !== 0
    case 'float64': return input.raw(8).readDoubleBE()
    case 'uuid': return input.raw(16).toString('hex')
    case 'string': {
      const length = input.length(flexible, 2)
      return length < 0 ? null : input.raw(length).toString()
    }
    default: {
      const length = input.length(flexible, 4)
      return length < 0 ? null : Buffer.from(input.raw(length))
    }
  }
}

/** The body of an answer, without its length. ApiVersions answers without tags in its head, and a version that it does
 * not know in version 0. */
export function decodeResponse(api, version, correlation, frame) {
  const flexible = within(api.response.flexible, version)
  const input = new Reader(frame)
  const answered = input.integer(4)
  if (answered !== correlation) throw new Error(`an answer to request ${answered} instead of ${correlation}`)
  if (api.name === 'ApiVersions' && input.bytes.readInt16BE(4) === 35) return readWhole(input, api, 0, false)
  if (flexible && api.name !== 'ApiVersions' && input.unsigned() !== 0) throw new Error('tags in the head of an answer')
  return readWhole(input, api, version, flexible)
}

function readWhole(input, api, version, flexible) {
  const value = readStruct(input, api.response.fields, version, flexible)
  if (input.rest().length > 0) throw new Error(`${input.rest().length} bytes after the end of the answer`)
  return value
}

// ---- Taking the schemas from a jar ----

const camel = name => name[0].toLowerCase() + name.slice(1)

function compact(field, structs) {
  const type = field.type.replace(/^\[\]/, '')
  const fields = field.fields ?? structs[type]
  const more = {
    ...(field.nullableVersions && { nullable: field.nullableVersions }),
    ...(field.taggedVersions && { tagged: field.taggedVersions, tag: field.tag }),
    ...(field.default !== undefined && { default: field.default }),
    ...(fields && { fields: fields.map(inner => compact(inner, structs)) }),
  }
  const shape = fields ? field.type.replace(type, 'struct') : field.type
  return [camel(field.name), shape, field.versions, ...(Object.keys(more).length > 0 ? [more] : [])]
}

function extract(jar, version) {
  const names = execFileSync('unzip', ['-Z1', jar, 'common/message/*.json'], { encoding: 'utf8' }).trim().split('\n')
  const lines = []
  for (const name of names.sort()) {
    const text = execFileSync('unzip', ['-p', jar, name], { encoding: 'utf8' }).replace(/^\s*\/\/.*$/gm, '')
    const { apiKey, name: message, type, validVersions, flexibleVersions, latestVersionUnstable, fields, commonStructs = [] } = JSON.parse(text)
    if (!['request', 'response'].includes(type) || validVersions === 'none') continue
    const structs = Object.fromEntries(commonStructs.map(struct => [struct.name, struct.fields]))
    lines.push(JSON.stringify({
      name: message, key: apiKey, valid: validVersions, ...(latestVersionUnstable && { unstable: true }), flexible: flexibleVersions,
      fields: fields.map(field => compact(field, structs)),
    }))
  }
  writeFileSync(`${HERE}schemas/${version}.json`, `[\n${lines.join(',\n')}\n]\n`)
  console.log(`${lines.length} messages of ${version}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [jar, version] = process.argv.slice(2)
  if (!jar || !version || !existsSync(jar)) throw new Error('node schema.mjs KAFKA-CLIENTS-JAR VERSION')
  extract(jar, version)
}
