// One connection to a broker: frames out, frames in, and what became of a request that got none.
import { connect } from 'node:net'

/** A request that is not answered by then is not answered. */
const PATIENCE_MS = 20_000
export const CLOSED = Symbol('closed')
export const NOTHING = Symbol('nothing')

export class Connection {
  constructor(address) {
    const [host, port] = address.split(':')
    this.socket = connect({ host, port: Number(port), noDelay: true })
    this.bytes = Buffer.alloc(0)
    this.frames = []
    this.waiting = []
    this.closed = false
    this.correlation = 0
    this.socket.on('data', chunk => this.take(chunk))
    for (const event of ['error', 'close', 'end']) this.socket.on(event, () => this.end())
  }

  take(chunk) {
    this.bytes = Buffer.concat([this.bytes, chunk])
    while (this.bytes.length >= 4 && this.bytes.length >= 4 + this.bytes.readInt32BE(0)) {
      const end = 4 + this.bytes.readInt32BE(0)
      const frame = this.bytes.subarray(4, end)
      this.bytes = this.bytes.subarray(end)
      const next = this.waiting.shift()
      if (next) next(frame)
      else this.frames.push(frame)
    }
  }

  end() {
    if (this.closed) return
    this.closed = true
    this.socket.destroy()
    for (const waiting of this.waiting.splice(0)) waiting(CLOSED)
  }

  send(bytes) {
    if (!this.closed) this.socket.write(bytes)
  }

  /** The next frame, in the order of the requests. */
  async next(patience = PATIENCE_MS) {
    if (this.frames.length > 0) return this.frames.shift()
    if (this.closed) return CLOSED
    let timer
    const late = new Promise(resolve => (timer = setTimeout(() => resolve(NOTHING), patience)))
    const frame = new Promise(resolve => this.waiting.push(resolve))
    const first = await Promise.race([frame, late])
    clearTimeout(timer)
    return first
  }
}
