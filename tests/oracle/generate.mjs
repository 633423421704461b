// Draws transcripts from a seed: requests that are valid by their schema, with values that are likely, or hostile.
//
// What a field may hold goes by its name (POOLS), else by its type. A transcript begins with topics, a producer id and a
// member of a group, so that there is something to ask about, and then asks at random.
import { line } from './notation.mjs'
import { loadApis } from './schema.mjs'
import { REFERENCE } from './transcript.mjs'

const COUNT = 110
/** So many more are in request versions that Apache Kafka 4 dropped. */
const DROPPED_COUNT = 10
const REQUESTS = 50
const LAST_WITH_ALL = '3.9.1'

/** The APIs that are drawn, and how often. ApiVersions is left out, which says the same each time. What changes the broker
 * for the others is only validated. */
const WEIGHTS = {
  Produce: 12, Fetch: 10, ListOffsets: 6, Metadata: 5, OffsetCommit: 5, OffsetFetch: 5, FindCoordinator: 2, JoinGroup: 2,
  Heartbeat: 3, LeaveGroup: 1, SyncGroup: 2, DescribeGroups: 3, ListGroups: 1, CreateTopics: 3, DeleteTopics: 1,
  DescribeConfigs: 3, DescribeCluster: 1, InitProducerId: 3, AddPartitionsToTxn: 3, AddOffsetsToTxn: 2, EndTxn: 3,
  TxnOffsetCommit: 3, WriteTxnMarkers: 1, DescribeTransactions: 2, ListTransactions: 2, DescribeProducers: 2,
  DeleteRecords: 2, OffsetForLeaderEpoch: 2, CreatePartitions: 2, AlterConfigs: 1, IncrementalAlterConfigs: 2,
  OffsetDelete: 2, DeleteGroups: 1, ElectLeaders: 1, AlterPartitionReassignments: 1, ListPartitionReassignments: 1,
  DescribeLogDirs: 1, DescribeTopicPartitions: 2, DescribeQuorum: 1, ListConfigResources: 1, SaslHandshake: 1,
  SaslAuthenticate: 1, DescribeAcls: 1, CreateAcls: 1, DeleteAcls: 1, CreateDelegationToken: 1, RenewDelegationToken: 1,
  ExpireDelegationToken: 1, DescribeDelegationToken: 1, DescribeUserScramCredentials: 1, AlterReplicaLogDirs: 1,
  DescribeClientQuotas: 1, AlterClientQuotas: 1, UpdateFeatures: 1, UnregisterBroker: 1,
}

/** Older versions make topics that are asked for, and newer ones tell all configs of those that are made. What Apache
 * Kafka says of partitions that were not added to a transaction goes by the version in which another asked at that moment:
 * it keeps to those that say the same. */
const FIRST = { Metadata: 4, UpdateFeatures: 1 }
const LAST = { CreateTopics: 4, TxnOffsetCommit: 3 }
const LAST_TRANSACTIONAL_PRODUCE = 10
/** The first version of Produce with batches. */
const BATCHES = 3
/** One is enough (of several the first to be refused is a matter of chance), or none too few. */
const LENGTHS = {
  'CreateTopics.topics.configs': [0, 1], 'DescribeConfigs.resources.configurationKeys': [1, 2],
  'AlterConfigs.resources.configs': [0, 1, 1], 'IncrementalAlterConfigs.resources.configs': [0, 1, 1],
  'AddPartitionsToTxn.transactions': [1, 1, 2], 'AlterConfigs.resources': [1], 'IncrementalAlterConfigs.resources': [1],
  'ListConfigResources.resourceTypes': [1, 2], 'UpdateFeatures.featureUpdates': [0, 1, 1], 'DescribeTopicPartitions.topics': [1, 2, 2],
}

const HOSTILE = { int8: [-1, 127, -128], int16: [-1, 32767, -32768], int32: [-1, 2147483647, -2147483648], int64: [-1, -9223372036854775808n, 9223372036854775807n] }
const TOPICS = ['~t', '~t', '~t', '~u', '~u', '~nowhere', '', 'no name', '__consumer_offsets']
/** What all transcripts write to is not read. */
const OWN = TOPICS.filter(name => name !== '__consumer_offsets')
const IDS = [['$made.topics.0.topicId', '$made.topics.0.topicId', '$made.topics.1.topicId', '"00112233445566778899aabbccddeeff"', '"00000000000000000000000000000000"'], raw]
const PARTITIONS = [0, 0, 0, 1, 2, -1]
const GENERATIONS = [['$j.generationId', '$j.generationId', -1, 0, 99], raw]
const MEMBERS = [['$j.memberId', '$j.memberId', '""', 'nobody'], raw]

const TRANSACTIONAL_IDS = ['~p', '~p', '~p', '~q', '~nobody', '']
const PRODUCERS = [['$x.producerId', '$x.producerId', '$x.producerId', '$y.producerId', '123456789'], raw]
const EPOCHS = [0, 0, 0, 0, 1, 2, -1]
/** These values for fields of each of these structs. */
const of = (structs, pools) => Object.fromEntries(structs.flatMap(struct => Object.entries(pools).map(([name, pool]) => [`${struct}.${name}`, pool])))

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
  'ListOffsets.topics.partitions.timestamp': [-1, -2, -3, -4, -5, -6, -7, 0, 1700000000001, 1800000000000],
  'Metadata.allowAutoTopicCreation': [false],
  'OffsetCommit.topics.partitions.committedMetadata': ['', 'note', null],
  'OffsetForLeaderEpoch.topics.partitions.leaderEpoch': [0, 0, 1, 7, -1, -2], 'OffsetForLeaderEpoch.replicaId': [-1, -1, -2, 1],
  'OffsetForLeaderEpoch.topics.topic': OWN,
  v3AndBelowTransactionalId: TRANSACTIONAL_IDS, v3AndBelowProducerId: PRODUCERS, v3AndBelowProducerEpoch: EPOCHS,
  'AddPartitionsToTxn.v3AndBelowTopics.name': OWN, 'AddPartitionsToTxn.transactions.topics.name': OWN,
  ...of(['InitProducerId', 'AddPartitionsToTxn.transactions', 'AddOffsetsToTxn', 'EndTxn', 'TxnOffsetCommit'], {
    transactionalId: TRANSACTIONAL_IDS, producerId: PRODUCERS, producerEpoch: EPOCHS,
  }),
  'InitProducerId.transactionalId': ['~p', '~p', '~q', null], 'InitProducerId.transactionTimeoutMs': [60000, 60000, -1, 0, 1000000],
  'InitProducerId.producerId': [['-1', '-1', '-1', '$x.producerId'], raw], 'InitProducerId.producerEpoch': [['-1', '-1', '-1', '$x.producerEpoch'], raw],
  'TxnOffsetCommit.generationId': [-1, -1, 1], 'TxnOffsetCommit.memberId': ['', '', 'nobody'], 'TxnOffsetCommit.topics.name': OWN,
  'TxnOffsetCommit.topics.partitions.committedMetadata': ['', 'note', null],
  'WriteTxnMarkers.markers.producerId': [['123456789'], raw], 'WriteTxnMarkers.markers.producerEpoch': [0, 1, 5],
  'WriteTxnMarkers.markers.coordinatorEpoch': [0, 0, 1], 'WriteTxnMarkers.markers.transactionVersion': [0, 1, 2], 'WriteTxnMarkers.markers.topics.name': OWN,
  'DescribeProducers.topics.name': OWN, transactionalIds: TRANSACTIONAL_IDS, 'ListTransactions.stateFilters': ['Ongoing', 'Empty', 'CompleteAbort', 'CompleteCommit', 'x'],
  'ListTransactions.producerIdFilters': PRODUCERS, 'ListTransactions.durationFilter': [-1, 10000000], 'ListTransactions.transactionalIdPattern': [null, '.*p', '', 'x', '['],
  'DeleteRecords.topics.name': OWN, 'DeleteRecords.topics.partitions.offset': [0, 0, 1, 2, -1, 100, -2],
  'CreatePartitions.topics.name': ['~v', '~w', '~u', '~nowhere', ''], 'CreatePartitions.topics.count': [2, 3, 1, 0, -1],
  'AlterConfigs.resources.resourceType': [2, 2, 2, 2, 0, 7], 'IncrementalAlterConfigs.resources.resourceType': [2, 2, 2, 2, 0, 7],
  'AlterConfigs.resources.resourceName': ['~w', '~w', '~x', '~nowhere', ''], 'IncrementalAlterConfigs.resources.resourceName': ['~w', '~w', '~x', '~nowhere', ''],
  ...of(['AlterConfigs.resources.configs', 'IncrementalAlterConfigs.resources.configs'], {
    name: ['retention.ms', 'cleanup.policy', 'max.message.bytes', 'no.such'], value: ['1000', '-1', 'compact', 'x', '', null],
  }),
  'IncrementalAlterConfigs.resources.configs.configOperation': [0, 0, 1, 2, 3, 7],
  'OffsetDelete.groupId': ['~simple', '~simple', '~g', '~nowhere'], 'OffsetDelete.topics.name': ['~t', '~t', '~u', '~nowhere'],
  groupsNames: ['~simple', '~g', '~nowhere'],
  'ElectLeaders.electionType': [0, 0, 1, 7], 'ElectLeaders.topicPartitions.topic': ['~t', '~t', '~u', '~nowhere'],
  'AlterPartitionReassignments.topics.name': ['~t', '~u', '~nowhere'], replicas: [1, 1, 7],
  'ListPartitionReassignments.topics.name': ['~t', '~u', '~nowhere'],
  'DescribeLogDirs.topics.topic': ['~t', '~u', '~nowhere'],
  'DescribeTopicPartitions.topics.name': OWN, 'DescribeTopicPartitions.cursor.topicName': ['~t', '~u', '~a'], responsePartitionLimit: [2000, 2000, 1, 2, 0],
  'AlterReplicaLogDirs.dirs.path': ['/nowhere', 'relative', ''], 'AlterReplicaLogDirs.dirs.topics.name': OWN,
  entityType: ['user', 'user', 'client-id', 'ip', 'x'], entityName: ['~a', null], matchType: [0, 1, 2, 7], match: ['~a', null],
  'AlterClientQuotas.validateOnly': [true], 'AlterClientQuotas.entries.ops.key': ['producer_byte_rate', 'request_percentage', 'x'],
  'AlterClientQuotas.entries.ops.value': [1000, 0.5, 0, -1],
  'UpdateFeatures.validateOnly': [true], feature: ['metadata.version', 'transaction.version', 'group.version', 'x', ''],
  maxVersionLevel: [0, 1, 2, 30, 99, -1], upgradeType: [1, 2, 3, 0], brokerId: [7, -1],
  topicName: ['__cluster_metadata', '__cluster_metadata', '~t'], resourceTypes: [16, 8, 99],
  mechanism: ['PLAIN', 'x', ''], authBytes: ['x'], hmac: ['x'], maxLifetimeMs: [-1, 1000], users: ['a', ''],
  ownerPrincipalType: [null, 'User'], ownerPrincipalName: [null, 'a'], principalType: ['User', ''], principalName: ['a', ''],
  principal: ['User:a', 'x'], host: ['*'], resourceName: ['~t', '*', ''], resourceNameFilter: ['~t', null], principalFilter: ['User:a', null], hostFilter: ['*', null],
  ...Object.fromEntries(['resourceType', 'resourceTypeFilter', 'resourcePatternType', 'patternTypeFilter', 'operation', 'permissionType'].map(name => [name, [1, 2, 3, 0, 99]])),
  acks: [-1, 1, 1, 1, 2], assignment: ['a', ''], brokerIds: [1, 1, 7], clusterId: [null],
  committedLeaderEpoch: [-1, 0, 7], committedOffset: [0, 1, 7, 100], coordinatorKeys: ['~g', '~h', ''],
  currentLeaderEpoch: [-1, -1, 0, 1], endpointType: [1, 1, 2, 3], generationId: GENERATIONS, generationIdOrMemberEpoch: GENERATIONS,
  groupId: ['~g', '~g', '~simple', '~nowhere'], groupInstanceId: [null, null, 'i'], groups: ['~g', '~simple', '~nowhere'],
  index: PARTITIONS, key: ['~g'], keyType: [0, 0, 0, 3, -1], lastFetchedEpoch: [-1, -1, 0, 1], maxNumOffsets: [1, 1, 2, 0], maxWaitMs: [0, 0, 20],
  memberEpoch: [-1, 0], memberId: MEMBERS, minBytes: [0, 0, 1, 100000],
  partition: PARTITIONS, partitionIndex: PARTITIONS, partitionIndexes: PARTITIONS, partitions: PARTITIONS, producerEpoch: [-1, 0, 3],
  producerId: [-1, 123456789], protocolName: ['range', null, 'x'], protocolType: ['consumer', 'consumer', 'x'], reason: [null, 'why'], replicaId: [-1, -1, -1, -2],
  replicaEpoch: [-1], sessionEpoch: [-1, -1, 0, 1], sessionId: [0, 0, 12345], rebalanceTimeoutMs: [20000],
  statesFilter: ['Stable', 'Empty', 'x'], timeoutMs: [5000], topic: TOPICS, topicId: IDS, name: TOPICS, topics: TOPICS,
  transactionTimeoutMs: [60000, -1], transactionalId: TRANSACTIONAL_IDS, typesFilter: ['classic', 'consumer', 'x'],
  'CreateTopics.topics.configs.name': ['retention.ms', 'cleanup.policy', 'max.message.bytes', 'no.such'],
  'JoinGroup.protocols.name': ['range', 'x'], metadata: ['m'],
}

/** Where one thing twice is an explained difference, or is answered in the order of a hash map: the first field tells. */
const ONCE =
  /^(Produce|Fetch|ListOffsets|OffsetCommit|TxnOffsetCommit|AddPartitionsToTxn|WriteTxnMarkers|DeleteRecords|CreatePartitions|OffsetDelete|ElectLeaders|AlterPartitionReassignments|AlterReplicaLogDirs)\.|^JoinGroup\.protocols|^DeleteGroups|^DescribeTransactions/

function firstOfEach(items) {
  const key = item => item.split(',')[0]
  return items.filter((item, index) => items.findIndex(other => key(other) === key(item)) === index)
}

function raw() {}

/** Names of all transcripts that are drawn. */
export const generated = Array.from({ length: COUNT + DROPPED_COUNT }, (_, index) => `g-${String(index + 1).padStart(3, '0')}`)

/** The text of one. */
export function generate(name) {
  const seed = Number(name.slice(2))
  return seed > COUNT ? dropped(new Draw(seed)) : drawn(new Draw(seed))
}

function drawn(draw) {
  const apis = loadApis(REFERENCE)
  const names = Object.entries(WEIGHTS).flatMap(([api, weight]) => Array(weight).fill(api))
  const out = [BEGIN, TRANSACTIONS]
  for (let count = 0; count < REQUESTS - 11; count += 1) {
    const api = apis[draw.from(names)]
    const first = FIRST[api.name] ?? api.min
    out.push(draw.request(api, first + draw.below((LAST[api.name] ?? api.max) - first + 1)))
  }
  return out.join('')
}

/** Each API that lost versions in as many of the requests. */
function dropped(draw) {
  const [then, now] = [loadApis(LAST_WITH_ALL), loadApis(REFERENCE)]
  const lost = Object.keys(WEIGHTS).filter(name => then[name]?.min < now[name].min && now[name].min > 0 && name !== 'WriteTxnMarkers')
  const names = [...lost, 'Produce', 'Produce', 'Fetch', 'Fetch', 'ListOffsets']
  draw.isOnce = true
  const out = [`referee ${LAST_WITH_ALL}\n`, BEGIN]
  while (out.length < REQUESTS - 5) {
    const api = then[draw.from(names)]
    const request = draw.request(api, draw.below(now[api.name].min))
    // It knew no configs of groups.
    if (!request.includes('resourceType: 32')) out.push(request)
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

const TRANSACTIONS = `InitProducerId 4 as x
  transactionalId: ~p
  transactionTimeoutMs: 60000
InitProducerId 4 as y
  transactionalId: ~q
  transactionTimeoutMs: 60000
AddPartitionsToTxn 3
  v3AndBelowTransactionalId: ~p
  v3AndBelowProducerId: $x.producerId
  v3AndBelowProducerEpoch: 0
  v3AndBelowTopics: [{name: ~t, partitions: [0, 1]}]
AddOffsetsToTxn 3
  transactionalId: ~p
  producerId: $x.producerId
  producerEpoch: 0
  groupId: ~simple
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

  request(api, version) {
    this.isTransactional = api.name === 'Produce' && version <= LAST_TRANSACTIONAL_PRODUCE && this.chance(3)
    this.isMessages = api.name === 'Produce' && version < BATCHES
    return `${api.name} ${version}\n${this.fields(api.request.fields, version, api.name).map(field => `  ${field}\n`).join('')}`
  }

  fields(fields, version, path) {
    const there = fields.filter(field => version >= field.versions[0] && version <= field.versions[1])
    return there
      .filter(field => !(version >= field.tagged[0] && version <= field.tagged[1]))
      .map(field => `${field.name}: ${this.field(field, version, `${path}.${field.name}`)}`)
  }

  field(field, version, path) {
    if (path === 'Produce.transactionalId') return this.isTransactional ? '~p' : 'null'
    if (field.item === 'records') return this.isMessages ? this.messages() : this.records()
    if (!field.array) return this.item(field, version, path)
    const nullable = version >= field.nullable[0] && version <= field.nullable[1]
    if (nullable && !LENGTHS[path] && this.chance(5)) return 'null'
    const count = this.from(LENGTHS[path] ?? [0, 1, 1, 1, 1, 2])
    const items = Array.from({ length: count }, () => this.item(field, version, path))
    return `[${(this.isOnce || ONCE.test(path) ? firstOfEach(items) : items).join(', ')}]`
  }

  item(field, version, path) {
    const nullable = version >= field.nullable[0] && version <= field.nullable[1]
    if (field.fields && nullable && !field.array && this.chance(2)) return 'null'
    if (field.fields) return `{${this.fields(field.fields, version, path).join(', ')}}`
    const pool = POOLS[path] ?? POOLS[field.name]
    if (pool) {
      const [values, notation] = pool[1] === raw ? pool : [pool]
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
    if (this.isTransactional) options.push('transactional: true, producerId: $x.producerId', `producerEpoch: ${this.from([0, 0, 0, 1])}, baseSequence: ${this.below(4)}`)
    else if (this.chance(4)) options.push('producerId: $p.producerId, producerEpoch: 0', `baseSequence: ${this.below(4)}`)
    const wrong = ['crc: wrong', 'magic: 1', 'magic: 9', 'count: 9', 'count: 0', 'lastOffsetDelta: 9', 'lastOffsetDelta: -1', 'length: 5', 'length: 9999', 'baseOffset: 3', 'leaderEpoch: 7', 'maxTimestamp: 1', 'control: true', 'logAppendTime: true', 'transactional: true']
    if (this.chance(4)) options.push(this.from(wrong))
    return `batch{${options.join(', ')}}`
  }

  /** Messages as they were before there were batches, mostly right ones, and without a codec: where readers get them as
   * messages again, compressed ones may not fit into what Apache Kafka or we have room for. */
  messages() {
    if (this.chance(8)) return this.from(['""', '0x0000', 'batch{records: [{key: k, value: a}]}', 'batch{crc: wrong, records: [{value: a}]}'])
    const count = this.from([1, 1, 2, 3])
    const records = Array.from({ length: count }, (_, index) => {
      const wrong = this.chance(10) ? `, ${this.from(['crc: wrong', 'length: 5', 'length: 9999', 'attributes: 8', 'magic: 1', 'offset: 7'])}` : ''
      return `{key: ${this.from(['k', 'null', '""'])}, value: ${this.from(['v', 'null', 'repeat(w, 200)'])}, timestamp: ${1700000000000 + index * this.below(1000)}${wrong}}`
    })
    return `messages{magic: ${this.from([0, 1])}, records: [${records.join(', ')}]}`
  }
}

/** `~t` is written as it is: only a bare word stands for a name of the transcript's own. */
function text(value) {
  return typeof value === 'string' && value.startsWith('~') ? value : line(value)
}
