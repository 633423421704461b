// Draws transcripts from a seed: requests that are valid by their schema, with values that are likely, or hostile.
//
// What a field may hold goes by its name (POOLS), else by its type. A transcript begins with topics, a producer id and a
// member of a group, so that there is something to ask about, and then asks at random.
import { line } from './notation.mjs'

const COUNT = 105
const REQUESTS = 50

/** The APIs that are drawn, and how often. What would change the broker for the others is left out. */
const WEIGHTS = {
  Produce: 12, Fetch: 10, ListOffsets: 6, Metadata: 5, OffsetCommit: 5, OffsetFetch: 5, FindCoordinator: 2, JoinGroup: 2,
  Heartbeat: 3, LeaveGroup: 1, SyncGroup: 2, DescribeGroups: 3, ListGroups: 1, CreateTopics: 3, DeleteTopics: 1,
  InitProducerId: 1, DescribeConfigs: 3, DescribeCluster: 1,
}

/** Older versions make topics that are asked for, and newer ones tell all configs of those that are made. */
const FIRST = { Metadata: 4 }
const LAST = { CreateTopics: 4 }
/** One is enough (of several the first to be refused is a matter of chance), or none too few. */
const LENGTHS = { 'CreateTopics.topics.configs': [0, 1], 'DescribeConfigs.resources.configurationKeys': [1, 2] }

const HOSTILE = { int8: [-1, 127, -128], int16: [-1, 32767, -32768], int32: [-1, 2147483647, -2147483648], int64: [-1, -9223372036854775808n, 9223372036854775807n] }
const TOPICS = ['~t', '~t', '~t', '~u', '~u', '~nowhere', '', 'no name', '__consumer_offsets']
/** What all transcripts write to is not read. */
const OWN = TOPICS.filter(name => name !== '__consumer_offsets')
const IDS = [['$made.topics.0.topicId', '$made.topics.0.topicId', '$made.topics.1.topicId', '"00112233445566778899aabbccddeeff"', '"00000000000000000000000000000000"'], raw]
const PARTITIONS = [0, 0, 0, 1, 2, -1]
const GENERATIONS = [['$j.generationId', '$j.generationId', -1, 0, 99], raw]
const MEMBERS = [['$j.memberId', '$j.memberId', '""', 'nobody'], raw]

/** What a field of this name holds; a list of two with `raw` is notation, not values. */
const POOLS = {
  'CreateTopics.topics.name': ['~v', '~w', '~x', '~t', '', 'no name'],
  'CreateTopics.topics.numPartitions': [1, 2, -1, 0, -2],
  'CreateTopics.topics.replicationFactor': [1, 1, -1, 0, 2],
  'CreateTopics.topics.configs.value': ['1000', '-1', 'x', null],
  'CreateTopics.topics.assignments.partitionIndex': [0, 1, 2],
  'DeleteTopics.topicNames': ['~v', '~w', '~x', '~nowhere', ''],
  'DeleteTopics.topics.name': ['~v', '~w', '~x', null, ''],
  'DescribeConfigs.resources.resourceType': [2, 2, 2, 4, 16, 32, 0, 7],
  'DescribeConfigs.resources.resourceName': ['~t', '~u', '~nowhere', '1', '', 'x'],
  'DescribeConfigs.resources.configurationKeys': ['retention.ms', 'cleanup.policy', 'log.cleaner.threads', 'no.such'],
  'Fetch.isolationLevel': [0, 1],
  'Fetch.maxBytes': [1_000_000, 1_000_000, 1, 0],
  'Fetch.topics.topic': OWN, 'ListOffsets.topics.name': OWN,
  'Fetch.topics.topicId': [IDS[0].slice(0, 4), raw],
  'Fetch.topics.partitions.fetchOffset': [0, 0, 1, 2, 5, 100, -1],
  'Fetch.topics.partitions.partitionMaxBytes': [1_000_000, 1_000_000, 1, 0],
  'JoinGroup.memberId': [['$j.memberId', '$j.memberId', 'nobody'], raw],
  'JoinGroup.sessionTimeoutMs': [20000, 30000, 5, 2000000],
  'InitProducerId.transactionalId': [null],
  'ListOffsets.topics.partitions.timestamp': [-1, -2, -3, -4, -5, -6, -7, 0, 1700000000001, 1800000000000],
  'Metadata.allowAutoTopicCreation': [false],
  'OffsetCommit.topics.partitions.committedMetadata': ['', 'note', null],
  acks: [-1, 1, 1, 1, 2], assignment: ['a', ''], brokerIds: [1, 1, 7], clusterId: [null],
  committedLeaderEpoch: [-1, 0, 7], committedOffset: [0, 1, 7, 100], coordinatorKeys: ['~g', '~h', ''],
  currentLeaderEpoch: [-1, -1, 0, 1], endpointType: [1, 1, 2, 3], generationId: GENERATIONS, generationIdOrMemberEpoch: GENERATIONS,
  groupId: ['~g', '~g', '~simple', '~nowhere'], groupInstanceId: [null, null, 'i'], groups: ['~g', '~simple', '~nowhere'],
  index: PARTITIONS, key: ['~g'], keyType: [0, 0, 0, 3, -1], lastFetchedEpoch: [-1, -1, 0, 1], maxWaitMs: [0, 0, 20],
  memberEpoch: [-1, 0], memberId: MEMBERS, minBytes: [0, 0, 1, 100000],
  partition: PARTITIONS, partitionIndex: PARTITIONS, partitionIndexes: PARTITIONS, partitions: PARTITIONS, producerEpoch: [-1, 0, 3],
  producerId: [-1, 123456789], protocolName: ['range', null, 'x'], protocolType: ['consumer', 'consumer', 'x'], reason: [null, 'why'], replicaId: [-1, -1, -1, -2],
  replicaEpoch: [-1], sessionEpoch: [-1, -1, 0, 1], sessionId: [0, 0, 12345], rebalanceTimeoutMs: [20000],
  statesFilter: ['Stable', 'Empty', 'x'], timeoutMs: [5000], topic: TOPICS, topicId: IDS, name: TOPICS, topics: TOPICS,
  transactionTimeoutMs: [60000, -1], transactionalId: [null], typesFilter: ['classic', 'consumer', 'x'],
  'CreateTopics.topics.configs.name': ['retention.ms', 'cleanup.policy', 'max.message.bytes', 'no.such'],
  'JoinGroup.protocols.name': ['range', 'x'], metadata: ['m'],
}

/** Where one thing twice is an explained difference, or is answered in the order of a hash map: the first field tells. */
const ONCE = /^(Produce|Fetch|ListOffsets|OffsetCommit)\.|^JoinGroup\.protocols/

function firstOfEach(items) {
  const key = item => item.split(',')[0]
  return items.filter((item, index) => items.findIndex(other => key(other) === key(item)) === index)
}

function raw() {}

/** Names of all transcripts that are drawn. */
export const generated = Array.from({ length: COUNT }, (_, index) => `g-${String(index + 1).padStart(3, '0')}`)

/** The text of one. */
export function generate(name, apis) {
  const draw = new Draw(Number(name.slice(2)))
  const out = [BEGIN]
  const names = Object.entries(WEIGHTS).flatMap(([api, weight]) => Array(weight).fill(api))
  for (let count = 0; count < REQUESTS - 7; count += 1) {
    const api = apis[draw.from(names)]
    const [first, last] = [FIRST[api.name] ?? api.min, LAST[api.name] ?? api.max]
    const version = first + draw.below(last - first + 1)
    out.push(`${api.name} ${version}\n`, ...draw.fields(api.request.fields, version, api.name).map(field => `  ${field}\n`))
  }
  return out.join('')
}

const BEGIN = `CreateTopics 4
  topics: [{name: ~t, numPartitions: 2, replicationFactor: 1}, {name: ~u, numPartitions: 1, replicationFactor: 1}]
  timeoutMs: 10000
Metadata 12 as made
  topics: [{name: ~t}, {name: ~u}]
Produce 9
  acks: -1
  timeoutMs: 5000
  topicData: [{name: ~t, partitionData: [{index: 0, records: batch{records: [{key: a, value: a}, {value: b}]}}]}]
InitProducerId 4 as p
  transactionalId: null
  transactionTimeoutMs: 60000
JoinGroup 3 as j
  groupId: ~g
  sessionTimeoutMs: 30000
  rebalanceTimeoutMs: 20000
  protocolType: consumer
  protocols: [{name: range, metadata: m}]
SyncGroup 3
  groupId: ~g
  generationId: $j.generationId
  memberId: $j.memberId
  assignments: [{memberId: $j.memberId, assignment: a}]
OffsetCommit 7
  groupId: ~simple
  generationIdOrMemberEpoch: -1
  topics: [{name: ~t, partitions: [{partitionIndex: 0, committedOffset: 1, committedMetadata: m}]}]
`

class Draw {
  constructor(seed) {
    this.state = seed * 0x9e3779b9 >>> 0
  }

  /** A number below this one (xorshift, so that every engine draws alike). */
  below(count) {
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    this.state >>>= 0
    return this.state % count
  }

  from(list) {
    return list[this.below(list.length)]
  }

  chance(of) {
    return this.below(of) === 0
  }

  fields(fields, version, path) {
    const there = fields.filter(field => version >= field.versions[0] && version <= field.versions[1])
    return there
      .filter(field => !(version >= field.tagged[0] && version <= field.tagged[1]))
      .map(field => `${field.name}: ${this.field(field, version, `${path}.${field.name}`)}`)
  }

  field(field, version, path) {
    if (field.item === 'records') return this.records()
    if (!field.array) return this.item(field, version, path)
    const nullable = version >= field.nullable[0] && version <= field.nullable[1]
    if (nullable && !LENGTHS[path] && this.chance(5)) return 'null'
    const count = this.from(LENGTHS[path] ?? [0, 1, 1, 1, 1, 2])
    const items = Array.from({ length: count }, () => this.item(field, version, path))
    return `[${(ONCE.test(path) ? firstOfEach(items) : items).join(', ')}]`
  }

  item(field, version, path) {
    if (field.fields) return `{${this.fields(field.fields, version, path).join(', ')}}`
    const pool = POOLS[path] ?? POOLS[field.name]
    if (pool) {
      const [values, notation] = pool[1] === raw ? pool : [pool]
      const nullable = version >= field.nullable[0] && version <= field.nullable[1]
      const fit = nullable ? values : values.filter(value => value !== null)
      const value = this.from(fit.length > 0 ? fit : [''])
      return notation ? String(value) : text(value)
    }
    if (field.item === 'bool') return String(this.chance(2))
    if (HOSTILE[field.item]) return String(this.chance(4) ? this.from(HOSTILE[field.item]) : this.below(3))
    return field.item === 'string' ? this.from(['a', '""']) : '""'
  }

  /** A batch, mostly a right one. */
  records() {
    if (this.chance(15)) return this.from(['""', '0x0000', 'messages{records: [{value: a}]}'])
    const count = this.from([1, 1, 2, 3])
    const records = Array.from({ length: count }, (_, index) =>
      `{key: ${this.from(['k', 'null', '""'])}, value: ${this.from(['v', 'null', 'repeat(w, 200)'])}${this.chance(4) ? ', headers: [[h, x]]' : ''}, timestamp: ${1700000000000 + index * this.below(1000)}}`)
    const options = [`codec: ${this.from(['none', 'none', 'gzip', 'snappy', 'lz4', 'zstd'])}`, `records: [${records.join(', ')}]`]
    if (this.chance(4)) options.push('producerId: $p.producerId, producerEpoch: 0', `baseSequence: ${this.below(4)}`)
    const wrong = ['crc: wrong', 'magic: 1', 'magic: 9', 'count: 9', 'count: 0', 'lastOffsetDelta: 9', 'lastOffsetDelta: -1', 'length: 5', 'length: 9999', 'baseOffset: 3', 'leaderEpoch: 7', 'maxTimestamp: 1', 'control: true', 'logAppendTime: true', 'transactional: true']
    if (this.chance(4)) options.push(this.from(wrong))
    return `batch{${options.join(', ')}}`
  }
}

/** `~t` is written as it is: only a bare word stands for a name of the transcript's own. */
function text(value) {
  return typeof value === 'string' && value.startsWith('~') ? value : line(value)
}
