// Metadata spreads: Apache Kafka's controller answers before its broker has heard, even on one node. What is compared
// is what a patient client sees, so after a change we wait until the broker has it.
import { CLOSED, Connection, NOTHING } from './connection.mjs'
import { decodeResponse, encodeRequest } from './schema.mjs'

const TRIES = 500
const PAUSE_MS = 10
/** Coordinators that still load: no client takes these for an answer. */
const LOADING = [14, 16]

const MEMBER_ID_REQUIRED = 79

const CONFIG_CHANGES = ['AlterConfigs', 'IncrementalAlterConfigs', 'UpdateFeatures', 'AlterClientQuotas']
const CHANGES = [...CONFIG_CHANGES, 'CreateTopics', 'DeleteTopics', 'CreatePartitions', 'AlterPartitionReassignments']

/** Without a name and a version of it the broker says nothing but that they are missing. */
const SOFTWARE = { clientSoftwareName: 'oracle', clientSoftwareVersion: '1' }

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Whether the request is sent once more instead of taking this answer. */
export function transient(step, answer) {
  const again = [...LOADING, ...step.again]
  return typeof answer === 'object' && codes(answer).some(code => again.includes(code))
}

export function codes(value) {
  if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) return []
  return Object.entries(value).flatMap(([key, item]) => (/^(partitionE|e)rrorCode$/.test(key) ? [item] : codes(item)))
}

/** A request of the tool's own, in the newest version that both sides know. */
export async function ask(broker, apis, name, body) {
  broker.side = broker.side?.closed === false ? broker.side : new Connection(broker.address)
  const side = broker.side
  const turn = (broker.turn ?? Promise.resolve()).then(async () => {
    const version = name === 'ApiVersions' ? 3 : Math.min(apis[name].max, broker.versions[apis[name].key][1])
    side.correlation += 1
    side.send(encodeRequest(apis[name], version, side.correlation, 'oracle-side', body, true))
    const frame = await side.next()
    if (frame === CLOSED || frame === NOTHING) throw new Error(`${broker.name} did not answer ${name}`)
    return decodeResponse(apis[name], version, side.correlation, frame)
  })
  broker.turn = turn.catch(() => {})
  return turn
}

async function until(what, done) {
  for (let tries = 0; tries < TRIES; tries += 1) {
    if (await done()) return
    await pause(PAUSE_MS)
  }
  throw new Error(`${what}: still not so`)
}

/** The broker has heard of all that the controller has written so far. */
async function heard(broker, apis) {
  const topics = [{ topicName: '__cluster_metadata', partitions: [{ partitionIndex: 0 }] }]
  const quorum = await ask(broker, apis, 'DescribeQuorum', { topics })
  const written = Number(quorum.topics[0].partitions[0].highWatermark)
  await until('the metadata has spread', async () => Number((await ask(broker, apis, 'ApiVersions', SOFTWARE)).finalizedFeaturesEpoch) >= written - 1)
}

/** Waits until the broker has what the request changed. */
export async function settle(broker, apis, step, body, answer) {
  if (['EndTxn', 'InitProducerId'].includes(step.api) && body.transactionalId) return ended(broker, apis, body.transactionalId)
  if (step.api === 'JoinGroup' && answer.errorCode === MEMBER_ID_REQUIRED) return told(broker, apis, body.groupId)
  if (!CHANGES.includes(step.api) || body.validateOnly) return
  const names = (answer.topics ?? answer.responses ?? answer.results ?? []).filter(topic => topic.name && topic.errorCode === 0).map(topic => topic.name)
  if (step.api === 'CreateTopics' || step.api === 'CreatePartitions') await online(broker, apis, names)
  else if (step.api === 'DeleteTopics') await gone(broker, apis, names)
  if (CONFIG_CHANGES.includes(step.api)) await heard(broker, apis)
  await pause(broker.lag)
}

async function metadata(broker, apis, names) {
  const answer = await ask(broker, apis, 'Metadata', { topics: names.map(name => ({ name })), allowAutoTopicCreation: false })
  return answer.topics
}

/** Every partition of these topics has a leader that answers. */
async function online(broker, apis, names) {
  if (names.length === 0) return
  await until(`${names} can be used`, async () => {
    const topics = await metadata(broker, apis, names)
    if (topics.some(topic => topic.errorCode !== 0)) return false
    const asked = topics.map(topic => ({
      name: topic.name,
      partitions: topic.partitions.map(({ partitionIndex }) => ({ partitionIndex, timestamp: -2, currentLeaderEpoch: -1 })),
    }))
    const offsets = await ask(broker, apis, 'ListOffsets', { replicaId: -1, topics: asked })
    return codes(offsets).every(code => code === 0)
  })
}

async function gone(broker, apis, names) {
  if (names.length === 0) return
  await until(`${names} are gone`, async () => (await metadata(broker, apis, names)).every(topic => topic.errorCode === 3))
}

/** Who is given an id is answered before the group of it is stored, and can be described. */
async function told(broker, apis, groupId) {
  await until(`${groupId} is there`, async () => {
    const { groups } = await ask(broker, apis, 'DescribeGroups', { groups: [groupId] })
    return groups[0].groupState !== 'Dead'
  })
}

/** The markers of a transaction are written, if one was ended. */
async function ended(broker, apis, transactionalId) {
  await until(`${transactionalId} has ended`, async () => {
    const { transactionStates } = await ask(broker, apis, 'DescribeTransactions', { transactionalIds: [transactionalId] })
    return !transactionStates[0].transactionState.startsWith('Prepare')
  })
}

/** Learns what the broker serves, and has its coordinators' topics made and loaded. */
export async function warm(broker, apis) {
  const answer = await ask(broker, apis, 'ApiVersions', SOFTWARE)
  broker.versions = Object.fromEntries(answer.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, [minVersion, maxVersion]]))
  for (const keyType of [0, 1]) {
    if (keyType === 1 && !broker.versions[apis.EndTxn.key]) continue
    await until('a coordinator is there', async () => {
      const found = await ask(broker, apis, 'FindCoordinator', { keyType, coordinatorKeys: ['oracle'] })
      return found.coordinators[0].errorCode === 0
    })
  }
  await until('there are producer ids', async () => (await ask(broker, apis, 'InitProducerId', { transactionalId: null, transactionTimeoutMs: 60_000 })).errorCode === 0)
  await until('groups are loaded', async () => (await ask(broker, apis, 'ListGroups', {})).errorCode === 0)
  if (!broker.versions[apis.ListTransactions.key]) return
  await until('transactions are loaded', async () => (await ask(broker, apis, 'ListTransactions', {})).errorCode === 0)
}
