// Plays a transcript to a broker and writes down what it answered, in the words of normal.mjs.
import { batch, messages } from './batch.mjs'
import { CLOSED, Connection, NOTHING } from './connection.mjs'
import { Normal } from './normal.mjs'
import { resolve } from './notation.mjs'
import { decodeResponse, encodeRequest, framed, Writer } from './schema.mjs'
import { settle, transient } from './settle.mjs'

/** @returns {Promise<{label: string, answer: unknown}[]>} one for every step that has an answer */
export async function play(transcript, broker, apis) {
  const player = new Player(transcript, broker, apis)
  try {
    for (const step of transcript.steps) await player[step.kind](step)
    return player.answers
  } catch (error) {
    error.message = `${transcript.name}.txt against ${broker.name}, after ${player.answers.length} answers: ${error.message}`
    throw error
  } finally {
    for (const connection of Object.values(player.connections)) connection.end()
  }
}

class Player {
  constructor(transcript, broker, apis) {
    this.broker = broker
    this.apis = apis
    this.connections = {}
    this.pending = {}
    this.answers = []
    this.prefix = `${transcript.name}.`
    this.normal = new Normal(this.prefix, broker, transcript.referee)
    this.scope = { answers: {}, calls: CALLS, name: text => (text.startsWith('~') ? this.prefix + text.slice(1) : text) }
  }

  connection(name) {
    const there = this.connections[name]
    if (there && !there.closed) return there
    return (this.connections[name] = new Connection(this.broker.address))
  }

  async request(step) {
    const api = this.apis[step.api]
    if (!api) throw new Error(`there is no API ${step.api}`)
    const body = resolve(step.body, this.scope)
    this.normal.sent(api, body)
    const ask = async () => {
      const connection = this.connection(step.conn)
      const correlation = (connection.correlation += 1)
      const client = step.client === undefined ? 'oracle' : step.client
      connection.send(encodeRequest(api, step.version, correlation, client, body, step.loose))
      if (step.api === 'Produce' && body.acks === 0) return undefined
      const frame = await connection.next()
      // What comes after it on its connection is not answered either.
      if (frame === NOTHING) connection.end()
      return typeof frame === 'symbol' ? frame : decodeResponse(api, step.version, correlation, frame)
    }
    if (step.later) return void (this.pending[step.as] = { step, body, answer: ask() })
    let answer = await ask()
    for (let tries = 0; tries < 250 && transient(step, answer); tries += 1) {
      await new Promise(resolve => setTimeout(resolve, 20))
      answer = await ask()
    }
    if (answer !== undefined) await this.keep(step, body, answer)
  }

  async answer({ name }) {
    const { step, body, answer } = this.pending[name] ?? {}
    if (!step) throw new Error(`no request ${name} waits for its answer`)
    delete this.pending[name]
    await this.keep(step, body, await answer)
  }

  async keep(step, body, answer) {
    const label = step.as ? `${step.label} as ${step.as}` : step.label
    if (answer === CLOSED || answer === NOTHING) return void this.answers.push({ label, answer: answer.description })
    if (step.as) this.scope.answers[step.as] = answer
    await settle(this.broker, this.apis, step, body, answer)
    this.answers.push({ label, answer: this.normal.answer(this.apis[step.api], step.version, body, answer) })
  }

  async raw(step) {
    const { frame, bytes } = resolve(step.body, this.scope)
    const connection = this.connection(step.conn)
    connection.send(bytes ?? framed(frame))
    const answer = await connection.next()
    this.answers.push({ label: 'raw', answer: typeof answer === 'symbol' ? answer.description : { bytes: Buffer.from(answer) } })
  }

  async close({ conn }) {
    this.connections[conn]?.end()
  }

  async wait({ ms }) {
    await new Promise(resolve => setTimeout(resolve, ms))
  }
}

// ---- What a transcript can call ----

const CALLS = {
  batch,
  messages,
  repeat: (text, count) => String(text).repeat(count),
  join: (...parts) => parts.join(''),
  bytes: text => Buffer.from(String(text)),
  concat: (...parts) => Buffer.concat(parts),
  /** The metadata of a member of a consumer group. */
  subscription: ({ version = 1, topics, userData = null, owned = [] }) => {
    const out = new Writer()
    out.integer(version, 2)
    strings(out, topics)
    bytes(out, userData)
    if (version >= 1) partitions(out, owned)
    return out.done()
  },
  /** What the leader of a consumer group gives a member. */
  assignment: ({ version = 1, partitions: given, userData = null }) => {
    const out = new Writer()
    out.integer(version, 2)
    partitions(out, given)
    bytes(out, userData)
    return out.done()
  },
}

function text(out, value) {
  out.integer(Buffer.byteLength(value), 2)
  out.raw(value)
}

function strings(out, values) {
  out.integer(values.length, 4)
  for (const value of values) text(out, value)
}

function bytes(out, value) {
  out.integer(value === null ? -1 : Buffer.byteLength(value), 4)
  out.raw(value ?? '')
}

function partitions(out, all) {
  out.integer(all.length, 4)
  for (const { topic, partitions } of all) {
    text(out, topic)
    out.integer(partitions.length, 4)
    for (const partition of partitions) out.integer(partition, 4)
  }
}
