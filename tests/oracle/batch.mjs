// Record batches and old message sets: built for requests, read back from answers.
import { createHash } from 'node:crypto'
import { compress, decompress, CODECS } from './compression.mjs'
import { Reader, Writer } from './schema.mjs'

/** The timestamp of a batch's first record, where the transcript gives none: 2023-11-14. */
const TIME = 1_700_000_000_000
const TRANSACTIONAL = 0x10
const CONTROL = 0x20
const LOG_APPEND_TIME = 0x08
/** Past base offset, length, leader epoch, magic and CRC. */
const CRC_FROM = 21
const HEAD = 61

// ---- Building ----

/**
 * A batch of format 2. Whatever the head holds can be given, right or wrong: `crc: wrong`, `count`, `lastOffsetDelta`,
 * `maxTimestamp`, `attributes`, `length`, `magic`, and `payload` for the records' bytes.
 */
export function batch(given) {
  const records = given.records ?? []
  const base = given.baseTimestamp ?? Number(records[0]?.timestamp ?? TIME)
  const times = records.map((record, index) => Number(record.timestamp ?? base + index))
  const body = new Writer()
  records.forEach((record, index) => body.raw(recordBytes(record, index, times[index] - base)))
  const codec = CODECS.indexOf(given.codec ?? 'none')
  if (codec < 0) throw new Error(`there is no codec ${given.codec}`)
  const flags = (given.transactional ? TRANSACTIONAL : 0) | (given.control ? CONTROL : 0) | (given.logAppendTime ? LOG_APPEND_TIME : 0)
  const rest = new Writer()
  rest.integer(given.attributes ?? codec | flags, 2)
  rest.integer(given.lastOffsetDelta ?? Math.max(0, ...records.map((record, index) => record.offset ?? index)), 4)
  rest.integer(base, 8)
  rest.integer(given.maxTimestamp ?? Math.max(base, ...times), 8)
  rest.integer(given.producerId ?? -1, 8)
  rest.integer(given.producerEpoch ?? -1, 2)
  rest.integer(given.baseSequence ?? -1, 4)
  rest.integer(given.count ?? records.length, 4)
  rest.raw(given.payload ?? compress(CODECS[codec], body.done()))
  const covered = rest.done()
  const out = new Writer()
  out.integer(given.baseOffset ?? 0, 8)
  out.integer(given.length ?? covered.length + 9, 4)
  out.integer(given.leaderEpoch ?? -1, 4)
  out.integer(given.magic ?? 2, 1)
  out.integer(given.crc === 'wrong' ? crc32c(covered) ^ 1 : crc32c(covered), 4)
  out.raw(covered)
  return out.done()
}

function recordBytes(record, index, timestampDelta) {
  const out = new Writer()
  out.integer(record.attributes ?? 0, 1)
  out.signed(timestampDelta)
  out.signed(record.offset ?? index)
  for (const part of [record.key, record.value]) writeBytes(out, part)
  const headers = record.headers ?? []
  out.signed(record.headerCount ?? headers.length)
  for (const [key, value] of headers) {
    writeBytes(out, key)
    writeBytes(out, value)
  }
  const bytes = out.done()
  const framed = new Writer()
  framed.signed(record.length ?? bytes.length)
  framed.raw(bytes)
  return framed.done()
}

function writeBytes(out, given) {
  const bytes = asBytes(given)
  out.signed(bytes?.length ?? -1)
  if (bytes) out.raw(bytes)
}

function asBytes(given) {
  if (given === undefined || given === null) return undefined
  return Buffer.isBuffer(given) ? given : Buffer.from(String(given))
}

/** A message set of format 0 or 1; with a codec, one message that wraps the others, `stamped` LogAppendTime or not. */
export function messages(given) {
  const magic = given.magic ?? 1
  const records = given.records ?? []
  const plain = Buffer.concat(records.map((record, index) => message(record, magic, 0, record.offset ?? index, index)))
  if (!given.codec || given.codec === 'none') return plain
  const codec = CODECS.indexOf(given.codec)
  const last = records.length - 1
  const wrapper = { value: compress(given.codec, plain), timestamp: given.timestamp ?? records[last]?.timestamp }
  return message(wrapper, magic, codec | (given.stamped ? LOG_APPEND_TIME : 0), given.offset ?? last, last)
}

function message(record, magic, codec, offset, index) {
  const rest = new Writer()
  rest.integer(record.magic ?? magic, 1)
  rest.integer(record.attributes ?? codec, 1)
  if (magic > 0) rest.integer(record.timestamp ?? TIME + index, 8)
  for (const part of [record.key, record.value]) {
    const bytes = asBytes(part)
    rest.integer(bytes?.length ?? -1, 4)
    if (bytes) rest.raw(bytes)
  }
  const covered = rest.done()
  const out = new Writer()
  out.integer(offset, 8)
  out.integer(record.length ?? covered.length + 4, 4)
  out.integer(record.crc === 'wrong' ? crc32(covered) ^ 1 : crc32(covered), 4)
  out.raw(covered)
  return out.done()
}

// ---- Reading ----

/** What a Fetch answer holds: its whole batches and messages. A torn end, which Kafka may leave, is dropped. */
export function readRecords(bytes) {
  const all = []
  for (let at = 0; at + 17 <= bytes.length;) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (end > bytes.length) break
    const one = bytes.subarray(at, end)
    all.push(one[16] === 2 ? readBatch(one) : readMessage(one))
    at = end
  }
  return all
}

function readBatch(bytes) {
  const input = new Reader(bytes)
  const head = { baseOffset: input.integer(8) }
  input.integer(4)
  head.leaderEpoch = input.integer(4)
  input.integer(1)
  head.crc = input.integer(4, true) === crc32c(bytes.subarray(CRC_FROM)) ? 'right' : 'wrong'
  const attributes = input.integer(2)
  head.codec = CODECS[attributes & 7] ?? attributes & 7
  head.attributes = attributes & ~7
  head.lastOffsetDelta = input.integer(4)
  const baseTimestamp = input.integer(8)
  head.maxTimestamp = input.integer(8)
  head.producerId = input.integer(8)
  head.producerEpoch = input.integer(2)
  head.baseSequence = input.integer(4)
  const count = input.integer(4)
  if (head.codec === 'zstd') return { ...head, count, baseTimestamp, payload: brief(bytes.subarray(HEAD)) }
  const records = new Reader(decompress(head.codec, bytes.subarray(HEAD)))
  const stamp = attributes & LOG_APPEND_TIME ? () => head.maxTimestamp : delta => Number(baseTimestamp) + Number(delta)
  head.records = Array.from({ length: count }, () => readRecord(records, stamp))
  return head
}

function readRecord(input, stamp) {
  input.signed()
  const attributes = input.integer(1)
  const timestamp = stamp(input.signed())
  const offset = input.signed()
  const part = () => {
    const length = input.signed()
    return length < 0 ? null : brief(Buffer.from(input.raw(length)))
  }
  const record = { offset, timestamp, key: part(), value: part() }
  const headers = Array.from({ length: input.signed() }, () => [part(), part()])
  return { ...record, ...(headers.length > 0 && { headers }), ...(attributes && { attributes }) }
}

function readMessage(bytes) {
  const input = new Reader(bytes)
  const head = { offset: input.integer(8) }
  input.integer(4)
  head.crc = input.integer(4, true) === crc32(bytes.subarray(16)) ? 'right' : 'wrong'
  head.magic = input.integer(1)
  const attributes = input.integer(1)
  head.codec = CODECS[attributes & 7] ?? attributes & 7
  head.attributes = attributes & ~7
  if (head.magic > 0) head.timestamp = input.integer(8)
  const part = () => {
    const length = input.integer(4)
    return length < 0 ? null : Buffer.from(input.raw(length))
  }
  head.key = part()
  const value = part()
  if (head.codec === 'none') return { ...head, value: value && brief(value) }
  return { ...head, messages: readRecords(decompress(head.codec, value)) }
}

/** Long bytes as their length and a hash. */
function brief(bytes) {
  if (bytes.length <= 100) return bytes
  return `${bytes.length} bytes ${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`
}

// ---- Checksums ----

const table = polynomial => Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? (byte >>> 1) ^ polynomial : byte >>> 1
  return byte
})

const checksum = entries => bytes => {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ entries[(crc ^ byte) & 0xff]
  return (crc ^ 0xffffffff) >>> 0
}

const crc32c = checksum(table(0x82f63b78))
const crc32 = checksum(table(0xedb88320))
