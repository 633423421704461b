// What tutorials do with kafka-node, the client of the years before 0.11: it speaks Produce and Fetch 0 to 2.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'

// The packages lie where the runner installed them.
const require = createRequire(`${process.env.CLIENT_HOME}/`)
const { Admin, ConsumerGroup, HighLevelProducer, KafkaClient, KeyedMessage, Offset } = require('kafka-node')

/** Its codecs by its own numbers; snappy where it could be compiled. */
const CODECS = { none: 0, gzip: 1, ...(has('snappy') && { snappy: 2 }) }
const PARTITIONS = 2
const PER_CODEC = 25

const run = `${Date.now().toString(36)}-${process.pid}`
const topic = `kafka-node-${run}`
const groupId = `kafka-node-group-${run}`
const kafkaHost = process.env.BOOTSTRAP

const client = new KafkaClient({ kafkaHost, connectTimeout: 10_000, requestTimeout: 30_000 })
await new Promise((resolve, reject) => client.once('ready', resolve).once('error', reject))
const created = await promisify(client.createTopics).call(client, [{ topic, partitions: PARTITIONS, replicationFactor: 1 }])
assert.deepEqual(created, [])
await promisify(client.refreshMetadata).call(client, [topic])

const producer = new HighLevelProducer(client, { requireAcks: 1, ackTimeoutMs: 5_000 })
const sendAll = promisify(producer.send).bind(producer)
/** What must come back, by partition and offset. */
const acked = new Map()
const ends = Array(PARTITIONS).fill(0)

async function produce(phase) {
  for (const [codec, attributes] of Object.entries(CODECS)) {
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const messages = Array.from({ length: PER_CODEC }, (_, index) =>
        new KeyedMessage(`key-${index}`, `${phase}/${codec}/${index}:${'kafka '.repeat(40)}`))
      const { [topic]: { [partition]: offset } } = await sendAll([{ topic, partition, messages, attributes }])
      assert.equal(offset, ends[partition])
      messages.forEach(({ key, value }, at) => acked.set(`${partition}@${offset + at}`, { key, value }))
      ends[partition] += PER_CODEC
    }
  }
}

function has(name) {
  try {
    return Boolean(require(name))
  } catch {
    return false
  }
}

async function until(what, condition) {
  const deadline = Date.now() + 30_000
  while (!condition()) {
    assert.ok(Date.now() < deadline, `timed out: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

/** Reads as a member of the group until it has seen `count` messages, commits, and leaves. */
async function consume(count) {
  const seen = new Map()
  const consumer = new ConsumerGroup(
    { kafkaHost, groupId, fromOffset: 'earliest', autoCommit: false, sessionTimeout: 10_000, fetchMaxWaitMs: 100 },
    [topic])
  consumer.on('message', ({ partition, offset, key, value }) => {
    const place = `${partition}@${offset}`
    assert.ok(!seen.has(place), `${place} was seen twice`)
    assert.deepEqual({ key: key.toString(), value }, acked.get(place), place)
    seen.set(place, value)
  })
  let failure
  consumer.on('error', error => (failure = error))
  await until(`${count} messages are read`, () => {
    if (failure) throw failure
    return seen.size >= count
  })
  await promisify(consumer.commit).call(consumer, true)
  await promisify(consumer.close).call(consumer, false)
  assert.equal(seen.size, count)
}

await produce('first')
await consume(acked.size)
// Who comes back goes on after what was committed.
const before = acked.size
await produce('second')
await consume(acked.size - before)

// ListOffsets 0 and OffsetFetch.
const offset = new Offset(client)
const asked = [...Array(PARTITIONS).keys()].map(partition => ({ topic, partition }))
for (const [time, expected] of [[-1, ends], [-2, ends.map(() => 0)]]) {
  const { [topic]: found } = await promisify(offset.fetch).call(offset, asked.map(one => ({ ...one, time, maxNum: 1 })))
  assert.deepEqual(Object.values(found).map(([first]) => first), expected)
}
const { [topic]: committed } = await promisify(offset.fetchCommitsV1).call(offset, groupId, asked)
assert.deepEqual(Object.values(committed), ends)

const admin = new Admin(client)
const { [groupId]: described } = await promisify(admin.describeGroups).call(admin, [groupId])
assert.equal(described.state, 'Empty')
await promisify(client.close).call(client)
console.log(`${acked.size} records, ${Object.keys(CODECS).join(' ')}`)
process.exit(0)
