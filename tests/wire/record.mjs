#!/usr/bin/env node
// Records the frames that a real client and a real broker exchange:
//
//     node tests/wire/record.mjs LISTEN-PORT BROKER-HOST:PORT NAME CAPTION
//
// Sits between them as a proxy (the broker has to advertise LISTEN-PORT) and keeps the longest small frame of each API,
// version, direction and codec in tests/wire/NAME.hex. Ends with Ctrl-C.
import { createServer, connect } from 'node:net'
import { writeFileSync } from 'node:fs'

const [listen, target, name, caption] = process.argv.slice(2)
if (!caption) {
  console.error('usage: record.mjs LISTEN-PORT BROKER-HOST:PORT NAME CAPTION')
  process.exit(2)
}
const [host, port] = target.split(':')
/** Frames longer than this prove nothing that shorter ones do not. */
const LONGEST = 2500
const kept = new Map()

function keep(key, version, direction, frame) {
  const codec = codecOf(frame)
  const id = `${String(key).padStart(2, '0')} v${String(version).padStart(2, '0')} ${direction} ${codec}`
  const old = kept.get(id)
  // A later, longer frame says more than an empty first answer.
  if (frame.length <= LONGEST && (!old || old.length < frame.length)) kept.set(id, frame)
}

/** The codec of the first thing that looks like a record batch: its length lies within the frame, its format is 2. */
function codecOf(frame) {
  for (let at = 0; at + 61 <= frame.length; at++) {
    const length = frame.readInt32BE(at + 8)
    if (frame[at + 16] === 2 && frame[at + 21] === 0 && length >= 49 && at + 12 + length <= frame.length) return frame[at + 22] & 7
  }
  return 'none'
}

function splitter(onFrame) {
  let buffer = Buffer.alloc(0)
  return chunk => {
    buffer = Buffer.concat([buffer, chunk])
    while (buffer.length >= 4 && buffer.length >= 4 + buffer.readInt32BE(0)) {
      const end = 4 + buffer.readInt32BE(0)
      onFrame(Buffer.from(buffer.subarray(4, end)))
      buffer = buffer.subarray(end)
    }
  }
}

createServer(client => {
  const broker = connect(Number(port), host)
  const pending = new Map()
  const requests = splitter(frame => {
    const [key, version, correlation] = [frame.readInt16BE(0), frame.readInt16BE(2), frame.readInt32BE(4)]
    pending.set(correlation, [key, version])
    keep(key, version, 'request', frame)
  })
  const responses = splitter(frame => {
    const [key, version] = pending.get(frame.readInt32BE(0)) ?? []
    if (key !== undefined) keep(key, version, 'response', frame)
  })
  client.on('data', chunk => (requests(chunk), broker.write(chunk)))
  broker.on('data', chunk => (responses(chunk), client.write(chunk)))
  const end = () => (client.destroy(), broker.destroy())
  for (const socket of [client, broker]) socket.on('close', end).on('error', end)
}).listen(Number(listen), '127.0.0.1')

process.on('SIGINT', () => {
  const lines = [`# ${caption}`, '# One frame a line, without its length: API key, version, direction, bytes.']
  for (const id of [...kept.keys()].sort()) {
    lines.push(`${id.split(' ').slice(0, 3).join(' ')} ${kept.get(id).toString('hex')}`)
  }
  writeFileSync(new URL(`${name}.hex`, import.meta.url), lines.join('\n') + '\n')
  console.log(`${kept.size} frames in tests/wire/${name}.hex`)
  process.exit(0)
})
