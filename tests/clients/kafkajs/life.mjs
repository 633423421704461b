// The life of tests/clients/README.md, lived by kafkajs.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

// The packages lie where the runner installed them.
const require = createRequire(`${process.env.CLIENT_HOME}/`)
const { Kafka, CompressionTypes, CompressionCodecs, Partitioners, logLevel } = require('kafkajs')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const { partitions, of: partitionOf } = JSON.parse(readFileSync(new URL('../keys.json', import.meta.url)))
const KEYS = Object.keys(partitionOf)
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
const PER_CODEC = 50

const run = `${Date.now().toString(36)}-${process.pid}`
const topic = `kafkajs-${run}`
const groupId = `kafkajs-group-${run}`
const kafka = new Kafka({ clientId: 'life', brokers: [process.env.BOOTSTRAP], logLevel: logLevel.ERROR })

const admin = kafka.admin()
await admin.connect()
assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: partitions }] }), true)
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true })
await producer.connect()

/** Every record that was acknowledged, by partition and offset. */
const acked = new Map()
/** What the next offset of each partition must be. */
const ends = Array(partitions).fill(0)

async function produce(phase) {
  for (const [codec, compression] of Object.entries(CODECS)) {
    const messages = Array.from({ length: PER_CODEC }, (_, index) => ({
      key: KEYS[index % KEYS.length],
      value: index % 10 === 9 ? null : `${phase}/${codec}/${index}:${'kafka '.repeat(40)}`,
      headers: { id: `${phase}/${codec}/${index}`, bytes: Buffer.from([0, 255, index]), none: '' },
    }))
    const results = await producer.send({ topic, messages, compression, acks: -1 })
    for (const { partition, errorCode, baseOffset } of results) {
      assert.equal(errorCode, 0)
      const inPartition = messages.filter(message => partitionOf[message.key] === partition)
      assert.ok(inPartition.length > 0, `a record went to partition ${partition} against its key`)
      assert.equal(Number(baseOffset), ends[partition])
      inPartition.forEach((message, at) => acked.set(`${partition}@${ends[partition] + at}`, message))
      ends[partition] += inPartition.length
    }
  }
  assert.equal(ends.reduce((sum, end) => sum + end), acked.size)
}

const seen = new Map()

function see(member, partition, message) {
  const place = `${partition}@${message.offset}`
  const sent = acked.get(place) ?? assert.fail(`${place} was never acknowledged`)
  assert.ok(!seen.has(place), `${place} was seen by ${seen.get(place)} and again by ${member}`)
  assert.equal(message.key.toString(), sent.key)
  assert.equal(message.value && message.value.toString(), sent.value)
  assert.equal(message.headers.id.toString(), sent.headers.id)
  assert.deepEqual(message.headers.bytes, sent.headers.bytes)
  assert.equal(message.headers.none.toString(), '')
  seen.set(place, member)
}

async function until(what, condition) {
  const deadline = Date.now() + 30_000
  while (!condition()) {
    assert.ok(Date.now() < deadline, `timed out: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

async function join(name) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000, heartbeatInterval: 300, maxWaitTimeInMs: 100 })
  const member = { name, consumer, assigned: [] }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.assigned = payload.memberAssignment[topic] ?? []
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message }) => see(name, partition, message),
  })
  return member
}

const all = () => seen.size === acked.size
const commitAll = member => member.consumer.commitOffsets(
  member.assigned.map(partition => ({ topic, partition, offset: String(ends[partition]), metadata: `by ${member.name}` })))

// Alone.
await produce('alone')
const first = await join('first')
await until('the first member reads everything', all)
await commitAll(first)

// A second member joins: each has half.
let second = await join('second')
const half = () => first.assigned.length === partitions / 2 && second.assigned.length === partitions / 2
await until('two members share the partitions', half)
assert.deepEqual([...first.assigned, ...second.assigned].sort(), [...Array(partitions).keys()])
await produce('together')
await until('two members read everything', all)
for (const [place, message] of acked) {
  if (!message.headers.id.startsWith('together')) continue
  const owner = first.assigned.includes(Number(place.split('@')[0])) ? 'first' : 'second'
  assert.equal(seen.get(place), owner, `${place} was read by its owner`)
}
await commitAll(first)
await commitAll(second)

// It leaves again: everything is the first one's.
await second.consumer.disconnect()
await until('one member has every partition', () => first.assigned.length === partitions)
await produce('alone again')
await until('the first member reads everything again', all)
await commitAll(first)
await first.consumer.disconnect()

// What was committed is there, and a member that comes back goes on after it.
const [{ partitions: committed }] = await admin.fetchOffsets({ groupId, topics: [topic] })
for (const { partition, offset, metadata } of committed) {
  assert.equal(Number(offset), ends[partition])
  assert.equal(metadata, 'by first')
}
await produce('back')
const back = await join('back')
await until('the member that came back reads what is new', all)
await back.consumer.disconnect()

const places = await admin.fetchTopicOffsets(topic)
for (const { partition, high, low } of places) assert.deepEqual([Number(low), Number(high)], [0, ends[partition]])
const { groups: [described] } = await admin.describeGroups([groupId])
assert.equal(described.state, 'Empty')
await admin.deleteTopics({ topics: [topic] })
await producer.disconnect()
await admin.disconnect()
console.log(`${acked.size} records, ${Object.keys(CODECS).join(' ')}`)
