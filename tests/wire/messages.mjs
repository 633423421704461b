#!/usr/bin/env node
// Writes tests/wire/messages and tests/wire/records: what Apache Kafka's own classes make of every message of every API,
// and of every record of the internal logs, in every version (see Messages.java):
//
//     node tests/wire/messages.mjs
//
// Needs a JDK and Maven. The versions that Apache Kafka 4 dropped come from 3.9.1.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'messages-'))

const RECORDS = {
  'org.apache.kafka.common.message': [
    'ConsumerProtocolAssignment', 'ConsumerProtocolSubscription', 'EndTxnMarker', 'KRaftVersionRecord',
    'LeaderChangeMessage', 'SnapshotFooterRecord', 'SnapshotHeaderRecord', 'VotersRecord',
  ],
  'org.apache.kafka.common.metadata': [
    'AbortTransactionRecord', 'AccessControlEntryRecord', 'BeginTransactionRecord', 'BrokerRegistrationChangeRecord',
    'ClearElrRecord', 'ClientQuotaRecord', 'ConfigRecord', 'DelegationTokenRecord', 'EndTransactionRecord',
    'FeatureLevelRecord', 'FenceBrokerRecord', 'NoOpRecord', 'PartitionChangeRecord', 'PartitionRecord',
    'ProducerIdsRecord', 'RegisterBrokerRecord', 'RegisterControllerRecord', 'RemoveAccessControlEntryRecord',
    'RemoveDelegationTokenRecord', 'RemoveTopicRecord', 'RemoveUserScramCredentialRecord', 'TopicRecord',
    'UnfenceBrokerRecord', 'UnregisterBrokerRecord', 'UserScramCredentialRecord', 'ZkMigrationStateRecord',
  ],
  'org.apache.kafka.coordinator.group.generated': [
    'ConsumerGroupCurrentMemberAssignmentKey', 'ConsumerGroupCurrentMemberAssignmentValue',
    'ConsumerGroupMemberMetadataKey', 'ConsumerGroupMemberMetadataValue', 'ConsumerGroupMetadataKey',
    'ConsumerGroupMetadataValue', 'ConsumerGroupPartitionMetadataKey', 'ConsumerGroupPartitionMetadataValue',
    'ConsumerGroupRegularExpressionKey', 'ConsumerGroupRegularExpressionValue',
    'ConsumerGroupTargetAssignmentMemberKey', 'ConsumerGroupTargetAssignmentMemberValue',
    'ConsumerGroupTargetAssignmentMetadataKey', 'ConsumerGroupTargetAssignmentMetadataValue', 'GroupMetadataKey',
    'GroupMetadataValue', 'LegacyOffsetCommitKey', 'LegacyOffsetCommitValue', 'OffsetCommitKey', 'OffsetCommitValue',
    'ShareGroupCurrentMemberAssignmentKey', 'ShareGroupCurrentMemberAssignmentValue', 'ShareGroupMemberMetadataKey',
    'ShareGroupMemberMetadataValue', 'ShareGroupMetadataKey', 'ShareGroupMetadataValue',
    'ShareGroupStatePartitionMetadataKey', 'ShareGroupStatePartitionMetadataValue',
    'ShareGroupTargetAssignmentMemberKey', 'ShareGroupTargetAssignmentMemberValue',
    'ShareGroupTargetAssignmentMetadataKey', 'ShareGroupTargetAssignmentMetadataValue',
  ],
  'org.apache.kafka.coordinator.share.generated': [
    'ShareSnapshotKey', 'ShareSnapshotValue', 'ShareUpdateKey', 'ShareUpdateValue',
  ],
  'org.apache.kafka.coordinator.transaction.generated': ['TransactionLogKey', 'TransactionLogValue'],
  'org.apache.kafka.raft.generated': ['QuorumStateData'],
  'org.apache.kafka.server.log.remote.metadata.storage.generated': ['ProducerSnapshot'],
}
/** Where the records are. */
const MODULES = [
  'kafka-clients', 'kafka-metadata', 'kafka-group-coordinator', 'kafka-share-coordinator',
  'kafka-transaction-coordinator', 'kafka-raft', 'kafka-storage', 'kafka-server-common',
]

function jars(version, modules) {
  const folder = join(scratch, version)
  const dependency = module =>
    `<dependency><groupId>org.apache.kafka</groupId><artifactId>${module}</artifactId><version>${version}</version></dependency>`
  mkdirSync(folder)
  writeFileSync(
    join(folder, 'pom.xml'),
    `<project><modelVersion>4.0.0</modelVersion><groupId>shore</groupId><artifactId>messages</artifactId><version>1</version>
     <dependencies>${modules.map(dependency).join('')}</dependencies></project>`,
  )
  const options = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`]
  execFileSync('mvn', ['-q', '-B', '-f', folder, ...options], { stdio: 'inherit' })
  return join(folder, '*')
}

function write(jars, records) {
  const classes = mkdtempSync(join(scratch, 'classes-'))
  execFileSync('javac', ['-cp', jars, '-d', classes, join(here, 'Messages.java')], { stdio: 'inherit' })
  const path = [classes, jars].join(delimiter)
  execFileSync('java', ['-cp', path, 'Messages', here, ...records], { stdio: 'inherit' })
}

try {
  for (const folder of ['messages', 'records']) rmSync(join(here, folder), { recursive: true, force: true })
  const records = Object.entries(RECORDS).flatMap(([home, names]) => names.map(name => `${home}.${name}`))
  write(jars('4.3.1', MODULES), records)
  write(jars('3.9.1', ['kafka-clients']), [])
} finally {
  rmSync(scratch, { recursive: true })
}
