#!/usr/bin/env node
// Asks a broker each request of tests/wire/dropped.txt, one after the other, and writes its answers there: what Apache
// Kafka 3.9.1, freshly formatted, says in the request versions that 4 dropped.
//
//     node tests/wire/dropped.mjs HOST:PORT
//
// A line is a name, the API key, the version, the request's body and the answer's.
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'

const file = new URL('dropped.txt', import.meta.url)
const [host, port] = process.argv[2].split(':')

/** Sends one request on a connection of its own, and resolves with the body of its answer. */
function ask(key, version, body) {
  const head = Buffer.from([0, 0, 0, 0, 0, key, 0, version, 0, 0, 0, 7, 0, 1, 0x78])
  const frame = Buffer.concat([head, Buffer.from(body, 'hex')])
  frame.writeInt32BE(frame.length - 4)
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () => socket.write(frame))
    let answer = Buffer.alloc(0)
    socket.on('data', bytes => {
      answer = Buffer.concat([answer, bytes])
      if (answer.length < 4 || answer.length < 4 + answer.readInt32BE()) return
      socket.destroy()
      resolve(answer.subarray(8).toString('hex'))
    })
    socket.on('error', reject)
    socket.on('end', () => reject(new Error('the connection was closed')))
  })
}

const lines = []
for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
  const [name, key, version, body] = line.split(' ')
  lines.push([name, key, version, body, await ask(Number(key), Number(version), body)].join(' '))
}
writeFileSync(file, lines.join('\n') + '\n')
