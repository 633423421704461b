// What may differ between two runs of the same broker, and the words for it. Everything else has to be equal.
//
//   ids        a topic id, member id, producer id or session id that the broker made is id#1, id#2 … in the order in
//              which they are first seen; one that the transcript made up stays as it is
//   times      of the time of the run are `now`
//   places     the ports of the broker and its controller, its cluster id, its directories and the room on its disk
//   listings   hold the transcript's own topics and groups only, in order of name, where Apache Kafka promises none
//   errors     are their names, records are decoded
import { readRecords } from './batch.mjs'
import { errorName } from './errors.mjs'
import { defaultOf, ZERO_UUID } from './schema.mjs'

const UUID_IN_TEXT = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const RUN = [Date.now() - 3_600_000, Date.now() + 86_400_000]

/** Fields that name a thing of the run: their word. */
const WORDS = {
  port: (value, broker) => (value === broker.port ? 'port' : value === broker.controller ? 'controller' : value),
  clusterId: value => value && 'cluster',
  logDir: value => value && 'dir',
  totalBytes: () => 'bytes',
  usableBytes: () => 'bytes',
  finalizedFeaturesEpoch: () => 'epoch',
  brokerEpoch: value => (value >= 0 ? 'epoch' : value),
}

/** Numbers that the broker makes. */
const NUMBERED = { producerId: 'producer', sessionId: 'session' }

/** Fields that go by the length of the metadata log and the elections before it. */
const METADATA_LOG = /^DescribeQuorum\..*\.(leaderEpoch|highWatermark|logEndOffset)$/

/** Lists without an order of their own (Apache Kafka takes that of a hash map), by API and path: sorted by these fields, or by
 * themselves. */
const UNORDERED = {
  'Produce.responses': ['name', 'topicId'],
  'Produce.responses.partitionResponses': 'index',
  'ListOffsets.topics': 'name',
  'ListOffsets.topics.partitions': 'partitionIndex',
  'CreateTopics.topics': 'name',
  'CreatePartitions.results': 'name',
  'DeleteTopics.responses': ['name', 'topicId'],
  'Metadata.topics': 'name',
  'ListGroups.groups': 'groupId',
  'DeleteGroups.results': 'groupId',
  'DescribeGroups.groups': 'groupId',
  'DescribeGroups.groups.members': ['memberId', 'memberMetadata'],
  'JoinGroup.members': ['memberId', 'metadata'],
  'ListTransactions.transactionStates': 'transactionalId',
  'DescribeLogDirs.results.topics': 'name',
  'DescribeLogDirs.results.topics.partitions': 'partitionIndex',
  'AlterReplicaLogDirs.results': 'topicName',
  'AlterReplicaLogDirs.results.partitions': 'partitionIndex',
  'AlterClientQuotas.entries': 'entity',
  'AlterClientQuotas.entries.entity': 'entityType',
  'DescribeClientQuotas.entries': 'entity',
  'DescribeClientQuotas.entries.entity': 'entityType',
  'DescribeClientQuotas.entries.values': 'key',
  'OffsetFetch.topics': 'name',
  'OffsetFetch.groups.topics': 'name',
  'DescribeUserScramCredentials.results': 'user',
  'ElectLeaders.replicaElectionResults': 'topic',
  'AddPartitionsToTxn.resultsByTransaction': 'transactionalId',
  'AddPartitionsToTxn.resultsByTransaction.topicResults': 'name',
  'AddPartitionsToTxn.resultsByTransaction.topicResults.resultsByPartition': 'partitionIndex',
  'AddPartitionsToTxn.resultsByTopicV3AndBelow': 'name',
  'AddPartitionsToTxn.resultsByTopicV3AndBelow.resultsByPartition': 'partitionIndex',
  'DescribeProducers.topics.partitions.activeProducers': 'producerId',
  'DescribeTransactions.transactionStates.topics': 'topic',
  'DescribeTransactions.transactionStates.topics.partitions': '',
  'WriteTxnMarkers.markers': 'producerId',
  'WriteTxnMarkers.markers.topics': 'name',
  'WriteTxnMarkers.markers.topics.partitions': 'partitionIndex',
  'DeleteRecords.topics': 'name',
  'DeleteRecords.topics.partitions': 'partitionIndex',
}

/** Those that were without an order before Apache Kafka 4. */
const UNORDERED_ONCE = {
  ...UNORDERED,
  'Metadata.topics.partitions': 'partitionIndex',
  'OffsetCommit.topics': 'name',
  'OffsetCommit.topics.partitions': 'partitionIndex',
  'OffsetFetch.topics.partitions': 'partitionIndex',
}

/** Lists that are rather tables: by these fields. */
const KEYED = {
  'ApiVersions.apiKeys': 'apiKey',
  'ApiVersions.supportedFeatures': 'name',
  'ApiVersions.finalizedFeatures': 'name',
  'DescribeConfigs.results.configs': 'name',
}

/** Lists that hold everything a broker has: only the transcript's own is kept. */
const LISTINGS = {
  'Metadata.topics': 'name', 'ElectLeaders.replicaElectionResults': 'topic', 'ListGroups.groups': 'groupId', 'DescribeLogDirs.results.topics': 'name',
  'ListTransactions.transactionStates': 'transactionalId', 'DescribeTopicPartitions.topics': 'name',
}

export class Normal {
  constructor(prefix, broker, referee) {
    this.unordered = referee.startsWith('3.') ? UNORDERED_ONCE : UNORDERED
    this.prefix = prefix
    this.broker = broker
    this.labels = new Map()
    this.counts = {}
    this.literal = new Set()
  }

  /** Notes what the transcript itself says, so that it is not taken for the broker's. */
  sent(api, body) {
    walk(body, (key, value) => {
      if (value === null || value === undefined) return
      const text = String(value)
      if (this.labels.has(text) || this.labels.has(`${key} ${text}`)) return
      if (typeof value === 'string') this.literalIn(text)
      this.literal.add(typeof value === 'string' ? text : `${key} ${text}`)
    })
  }

  literalIn(text) {
    for (const uuid of text.match(UUID_IN_TEXT) ?? []) if (!this.labels.has(uuid)) this.literal.add(uuid)
  }

  answer(api, version, request, answer) {
    this.request = request
    return this.struct(api.response.fields, answer, version, api.name)
  }

  struct(fields, value, version, path) {
    const out = {}
    for (const field of fields) {
      const given = value[field.name]
      if (given === undefined) continue
      const normal = this.field(field, given, version, `${path}.${field.name}`)
      if (!same(normal, defaultOf(field, version)) || field.name === 'errorCode') out[field.name] = normal
    }
    return out
  }

  field(field, value, version, path) {
    if (!field.array || value === null) return this.item(field, value, version, path)
    const kept = LISTINGS[path] ? value.filter(item => this.mine(item[LISTINGS[path]], path)) : value
    const by = this.unordered[path]
    const rank = item => [by].flat().map(name => this.order(name ? item[name] : item)).join('\0')
    const sorted = by !== undefined ? [...kept].sort((a, b) => compare(rank(a), rank(b))) : kept
    if (KEYED[path]) return this.keyed(field, value, version, path)
    return sorted.map(item => this.item(field, item, version, path))
  }

  keyed(field, value, version, path) {
    const rows = value.map(item => [item[KEYED[path]], this.item(field, item, version, path)])
    for (const [, row] of rows) delete row[KEYED[path]]
    return Object.fromEntries(rows.sort((a, b) => compare(a[0], b[0])))
  }

  /** A listing names what was asked for, or the transcript's own. */
  mine(name, path) {
    if (name === null || name === undefined) return true
    if (path === 'Metadata.topics' && this.request.topics?.length > 0) return true
    if (path.startsWith('ElectLeaders') && this.request.topicPartitions) return true
    return name.startsWith(this.prefix)
  }

  item(field, value, version, path) {
    if (value === null) return null
    if (field.fields) return this.struct(field.fields, value, version, path)
    if (WORDS[field.name]) return WORDS[field.name](value, this.broker)
    if (field.name === 'errorCode' || field.name === 'partitionErrorCode') return errorName(value)
    if (METADATA_LOG.test(path)) return 'offset'
    if (NUMBERED[field.name]) return this.numbered(field.name, value)
    switch (field.item) {
      case 'uuid': return value === ZERO_UUID ? 0 : this.label('id', value)
      case 'string': return this.text(value)
      case 'int64': return value >= RUN[0] && value <= RUN[1] ? 'now' : value
      case 'records': return readRecords(value).map(batch => this.batch(batch))
      default: return value
    }
  }

  /** Numbers by size, ids that are known by their label. */
  order(value) {
    if (typeof value === 'number') return String(value).padStart(12, '0')
    if (Buffer.isBuffer(value)) return value.toString('hex')
    if (Array.isArray(value)) return value.map(item => JSON.stringify(item)).sort().join('\0')
    return this.labels.get(value) ?? String(value ?? '').replace(UUID_IN_TEXT, uuid => this.labels.get(uuid) ?? '')
  }

  numbered(name, value) {
    // (What warms a broker up takes producer 0, so that a zero says that there is none.)
    if (value <= 0 || this.literal.has(`${name} ${value}`)) return value
    return this.label(NUMBERED[name], value, `${name} ${value}`)
  }

  batch(batch) {
    const time = value => (value >= RUN[0] && value <= RUN[1] ? 'now' : value)
    const { maxTimestamp, timestamp, records, messages } = batch
    return {
      ...batch,
      ...(maxTimestamp !== undefined && { maxTimestamp: time(maxTimestamp), producerId: this.numbered('producerId', batch.producerId) }),
      ...(timestamp !== undefined && { timestamp: time(timestamp) }),
      ...(records && { records: records.map(record => ({ ...record, timestamp: time(record.timestamp) })) }),
      ...(messages && { messages: messages.map(message => this.batch(message)) }),
    }
  }

  /** Member ids are a client id and a UUID; messages may name either kind of id. */
  text(value) {
    let out = value.replace(UUID_IN_TEXT, uuid => (this.literal.has(uuid) ? uuid : this.label('id', uuid)))
    for (const [made, label] of this.labels) {
      const short = /^[0-9a-f]{32}$/.test(made) && Buffer.from(made, 'hex').toString('base64url')
      if (short) out = out.replaceAll(short, label)
    }
    out = out.replace(/-?\d{13,}/g, number => momentOf(BigInt(number)) ?? number)
    out = out.replaceAll(this.broker.data, 'dir').replaceAll(`127.0.0.1:${this.broker.port}`, '127.0.0.1:port')
    return this.broker.controller ? out.replaceAll(`127.0.0.1:${this.broker.controller}`, '127.0.0.1:controller') : out
  }

  label(word, value, key = value) {
    if (this.literal.has(key)) return value
    if (!this.labels.has(key)) {
      this.counts[word] = (this.counts[word] ?? 0) + 1
      this.labels.set(key, `${word}#${this.counts[word]}`)
    }
    return this.labels.get(key)
  }
}

/** The time of the run, or the earliest that is allowed: as long before it as a long can say. */
function momentOf(number) {
  const during = time => time >= BigInt(RUN[0]) && time <= BigInt(RUN[1])
  return during(number) ? 'now' : during(number + 0x7fff_ffff_ffff_ffffn) ? 'earliest' : undefined
}

function walk(value, see, key = '') {
  if (value !== null && typeof value === 'object' && !Buffer.isBuffer(value)) {
    for (const [name, item] of Object.entries(value)) walk(item, see, Array.isArray(value) ? key : name)
  } else see(key, value)
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0)

function same(a, b) {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === 0 && b.length === 0
  if (Buffer.isBuffer(a) && Buffer.isBuffer(b)) return a.equals(b)
  return a === b || (a === 0 && b === ZERO_UUID)
}
