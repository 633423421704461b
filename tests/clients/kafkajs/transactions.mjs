// The transactions of tests/clients/README.md, by kafkajs.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

// The packages lie where the runner installed them.
const require = createRequire(`${process.env.CLIENT_HOME}/`)
const { Kafka, Partitioners, logLevel } = require('kafkajs')

const run = `${Date.now().toString(36)}-${process.pid}`
const [input, output, groupId, transactionalId] = ['in', 'out', 'group', 'id'].map(what => `kafkajs-${what}-${run}`)
const PARTITIONS = 2
const INPUTS = 40
const kafka = new Kafka({
  clientId: 'transactions',
  brokers: [process.env.BOOTSTRAP],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 20, retries: 20 },
})

const admin = kafka.admin()
await admin.connect()
await admin.createTopics({
  topics: [{ topic: input, numPartitions: 1 }, { topic: output, numPartitions: PARTITIONS }],
})

/** What is committed. */
const committed = []

async function producer(transactionalId) {
  const made = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    ...(transactionalId && { transactionalId, maxInFlightRequests: 1, idempotent: true }),
  })
  await made.connect()
  return made
}

const ten = what => Array.from({ length: 10 }, (_, at) => ({ value: `${what}-${at}`, partition: at % PARTITIONS }))
const send = (to, what) => to.send({ topic: output, messages: ten(what) })
const commit = what => committed.push(...ten(what).map(({ value }) => value))

/** Reads until `count` records and a marker's worth of silence have come. */
async function read(readUncommitted, count) {
  const consumer = kafka.consumer({ groupId: `${groupId}-${Math.random()}`, readUncommitted, maxWaitTimeInMs: 50 })
  const found = []
  await consumer.connect()
  await consumer.subscribe({ topics: [output], fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => { found.push(message.value.toString()) } })
  const deadline = Date.now() + 30_000
  while (found.length < count && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 20))
  // What should not come has some time to come.
  await new Promise(resolve => setTimeout(resolve, 300))
  await consumer.disconnect()
  return found.sort()
}

async function sees(when) {
  assert.deepEqual(await read(false, committed.length), [...committed].sort(), when)
}

const first = await producer(transactionalId)
const plain = await producer()

// All of a commit is seen.
let transaction = await first.transaction()
await send(transaction, 'first')
await transaction.commit()
commit('first')
await sees('a commit')

// An open transaction is not, nor what comes behind it.
transaction = await first.transaction()
await send(transaction, 'aborted')
await plain.send({ topic: output, messages: [{ value: 'plain', partition: 0 }, { value: 'plain', partition: 1 }] })
await sees('before the transaction that is open')

// Nothing of an abort is seen, but by those who read everything.
await transaction.abort()
committed.push('plain', 'plain')
await sees('after an abort')
const everything = await read(true, 22)
assert.equal(everything.filter(value => value.startsWith('aborted')).length, 10)

// A new producer of the same id fences the old one, and ends what it had open.
transaction = await first.transaction()
await send(transaction, 'zombie')
const second = await producer(transactionalId)
const zombie = transaction
transaction = await second.transaction()
await assert.rejects(async () => {
  await send(zombie, 'zombie')
  await zombie.commit()
}, error => ['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED'].includes(error.type), 'a zombie committed')
await send(transaction, 'second')
await transaction.commit()
commit('second')
await sees('a zombie was fenced')

// From topic to topic, exactly once: every third batch is aborted and read again.
await plain.send({ topic: input, messages: Array.from({ length: INPUTS }, (_, at) => ({ value: `in-${at}` })) })
const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50, maxBytesPerPartition: 4096 })
await consumer.connect()
await consumer.subscribe({ topics: [input], fromBeginning: true })
let [batches, done] = [0, 0]
await consumer.run({
  autoCommit: false,
  eachBatchAutoResolve: false,
  eachBatch: async ({ batch, resolveOffset }) => {
    for (let at = 0; at < batch.messages.length; ) {
      const messages = batch.messages.slice(at, at + 4)
      const transaction = await second.transaction()
      await transaction.send({
        topic: output,
        messages: messages.map(({ value, offset }) => ({ value: `out of ${value}`, partition: Number(offset) % PARTITIONS })),
      })
      const after = Number(messages.at(-1).offset) + 1
      await transaction.sendOffsets({
        consumerGroupId: groupId,
        topics: [{ topic: input, partitions: [{ partition: 0, offset: String(after) }] }],
      })
      if (++batches % 3 === 0) {
        await transaction.abort()
      } else {
        await transaction.commit()
        resolveOffset(messages.at(-1).offset)
        at += messages.length
        done += messages.length
      }
    }
  },
})
const deadline = Date.now() + 60_000
while (done < INPUTS) {
  assert.ok(Date.now() < deadline, `timed out after ${done} inputs`)
  await new Promise(resolve => setTimeout(resolve, 20))
}
await consumer.disconnect()
for (let at = 0; at < INPUTS; at++) committed.push(`out of in-${at}`)
await sees('what was transformed')
const [{ partitions: [{ offset }] }] = await admin.fetchOffsets({ groupId, topics: [input] })
assert.equal(Number(offset), INPUTS)

await admin.deleteTopics({ topics: [input, output] })
await Promise.all([second.disconnect(), plain.disconnect(), admin.disconnect()])
await first.disconnect().catch(() => {})
console.log(`${committed.length} records committed`)
