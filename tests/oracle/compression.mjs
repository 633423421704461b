// The codecs of record batches. What is written is valid and not compressed (literals and raw blocks), so that it
// needs no library; what is read is whatever a broker wrote, but for zstd.
import { gunzipSync, gzipSync } from 'node:zlib'

/** By their number in a batch's attributes. */
export const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const XERIAL = Buffer.from('82534e41505059000000000100000001', 'hex')
/** Magic, flags (version 1, independent blocks), block size (64 KiB), and the checksum of both. */
const LZ4 = Buffer.from('04224d18604082', 'hex')
const PIECE = 32 * 1024

const u32 = (value, little) => {
  const bytes = Buffer.alloc(4)
  little ? bytes.writeUInt32LE(value >>> 0) : bytes.writeUInt32BE(value >>> 0)
  return bytes
}

function pieces(bytes) {
  const all = []
  for (let at = 0; at < bytes.length || at === 0; at += PIECE) all.push(bytes.subarray(at, at + PIECE))
  return all
}

export function compress(codec, bytes) {
  switch (codec) {
    case 'none': return bytes
    case 'gzip': return gzipSync(bytes)
    case 'snappy': return Buffer.concat([XERIAL, ...pieces(bytes).map(snappyPiece)])
    case 'lz4': return Buffer.concat([LZ4, ...pieces(bytes).flatMap(piece => [u32(piece.length | 0x80000000, true), piece]), u32(0)])
    default: return zstd(bytes)
  }
}

function snappyPiece(piece) {
  const length = [piece.length & 0x7f | 0x80, piece.length >> 7 & 0x7f | 0x80, piece.length >> 14]
  const literal = piece.length === 0 ? [] : [61 << 2, piece.length - 1 & 0xff, piece.length - 1 >> 8]
  const block = Buffer.concat([Buffer.from([...length, ...literal]), piece])
  return Buffer.concat([u32(block.length), block])
}

function zstd(bytes) {
  const all = pieces(bytes)
  const blocks = all.flatMap((piece, index) => {
    const head = piece.length << 3 | (index === all.length - 1 ? 1 : 0)
    return [Buffer.from([head & 0xff, head >> 8 & 0xff, head >> 16]), piece]
  })
  return Buffer.concat([Buffer.from('28b52ffda0', 'hex'), u32(bytes.length, true), ...blocks])
}

export function decompress(codec, bytes) {
  switch (codec) {
    case 'none': return bytes
    case 'gzip': return gunzipSync(bytes)
    case 'snappy': return unsnappy(bytes)
    case 'lz4': return unlz4(bytes)
    default: throw new Error(`${codec} is not read here`)
  }
}

function unsnappy(bytes) {
  if (bytes[0] !== 0x82) return snappyBlock(bytes)
  const all = []
  for (let at = XERIAL.length; at < bytes.length;) {
    const length = bytes.readInt32BE(at)
    all.push(snappyBlock(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return Buffer.concat(all)
}

function snappyBlock(bytes) {
  let at = 0
  let length = 0
  for (let shift = 0; ; shift += 7) {
    length |= (bytes[at] & 0x7f) << shift
    if (bytes[at++] < 0x80) break
  }
  const out = []
  while (out.length < length) {
    const tag = bytes[at++]
    const kind = tag & 3
    if (kind === 0) {
      let count = tag >> 2
      if (count >= 60) {
        const wide = count - 59
        count = bytes.readUIntLE(at, wide)
        at += wide
      }
      for (let left = count + 1; left > 0; left -= 1) out.push(bytes[at++])
      continue
    }
    const wide = [0, 1, 2, 4][kind]
    const back = kind === 1 ? (tag >> 5) << 8 | bytes[at] : bytes.readUIntLE(at, wide)
    at += wide
    copy(out, back, kind === 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1)
  }
  return Buffer.from(out)
}

function copy(out, back, count) {
  for (let left = count; left > 0; left -= 1) out.push(out[out.length - back])
}

/** A frame with independent or dependent blocks, with or without checksums, which are not looked at. */
function unlz4(bytes) {
  const flags = bytes[4]
  let at = 7 + (flags & 0x08 ? 8 : 0)
  const out = []
  for (;;) {
    const head = bytes.readUInt32LE(at)
    at += 4
    if (head === 0) return Buffer.from(out)
    const length = head & 0x7fffffff
    const block = bytes.subarray(at, at + length)
    if (head >>> 31) out.push(...block)
    else lz4Block(block, out)
    at += length + (flags & 0x10 ? 4 : 0)
  }
}

function lz4Block(block, out) {
  let at = 0
  const count = nibble => {
    let all = nibble
    if (nibble === 15) do all += block[at]; while (block[at++] === 255)
    return all
  }
  while (at < block.length) {
    const token = block[at++]
    for (let left = count(token >> 4); left > 0; left -= 1) out.push(block[at++])
    if (at >= block.length) return
    const back = block.readUInt16LE(at)
    at += 2
    copy(out, back, count(token & 15) + 4)
  }
}
