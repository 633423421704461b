// The differences from Apache Kafka that are meant. Each stands in docs/FIDELITY.md in these words.

import { line } from './notation.mjs'

/** @type {{name: string, fidelity: string, request: RegExp, path: RegExp, when?: (kafka: unknown, ours: unknown) => boolean}[]} */
export const EXPLAINED = [
  {
    name: 'APIs that are not there yet are not advertised',
    fidelity: 'Not advertised by ApiVersions, and a request for it closes the connection',
    request: /^ApiVersions/,
    path: /^apiKeys\.\d+$/,
    when: (kafka, ours) => ours === undefined,
  },
  {
    name: 'request versions that Apache Kafka 4 dropped are advertised',
    fidelity: 'The request versions that Apache Kafka 4 dropped are advertised and answered',
    request: /^ApiVersions/,
    path: /^apiKeys\.\d+\.minVersion$/,
    when: (kafka, ours) => (ours ?? 0) < kafka,
  },
  {
    name: 'words of Apache Kafka 4.3.1 for refusals of the old versions',
    fidelity: 'Error messages are those of Apache Kafka 4.3.1',
    request: /^CreateTopics 1/,
    path: /^topics\.\d+\.errorMessage$/,
    when: (kafka, ours) => ours === kafka.replace(/registered\.$/, 'registered or some brokers have all their log directories cordoned.'),
  },
  {
    name: 'zstd for readers of message sets',
    fidelity: 'A message set that cannot be made of zstd is empty',
    request: /^Fetch [0-3]/,
    path: /\.records$/,
    when: (kafka, ours) => kafka === undefined && ours.length === 0,
  },
  {
    name: 'a message twice behind markers',
    fidelity: 'Where a read begins with markers, Apache Kafka gives what follows them twice',
    request: /^Fetch [0-3]/,
    path: /\.records$/,
    when: (kafka, ours) => kafka?.length === 2 * ours?.length && line(kafka) === line([...ours, ...ours]),
  },
  {
    name: 'when a segment was written',
    fidelity: 'ListOffsets 0 goes by the newest timestamp of a segment',
    request: /^ListOffsets 0/,
    path: /\.oldStyleOffsets$/,
    when: kafka => kafka === undefined,
  },
  {
    name: 'the listeners of voters',
    fidelity: 'DescribeQuorum says nothing of the listeners of voters',
    request: /^DescribeQuorum/,
    path: /^nodes\.\d+\.listeners$/,
  },
  {
    name: 'text that is not UTF-8 is refused',
    fidelity: 'Text that is not UTF-8 is refused, by closing the connection',
    request: /^raw/,
    path: /^$/,
    when: (kafka, ours) => ours === 'closed',
  },
  {
    name: 'a partition twice in one Fetch',
    fidelity: 'One partition twice in one Fetch request',
    request: /^Fetch/,
    path: /^responses\.\d+\.partitions$/,
    when: (kafka, ours) => kafka?.length < ours?.length,
  },
  {
    name: 'a codec that nobody knows, before version 7',
    fidelity: 'a batch with a codec that nobody knows fails its partition',
    request: /^Produce [3-6]/,
    path: /\.(errorCode|logStartOffset)$/,
    when: (kafka, ours) => kafka === 'UNKNOWN_SERVER_ERROR' || ours === 0,
  },
  {
    name: 'topic id zero and what follows it',
    fidelity: 'A Fetch for topic id zero is UNKNOWN_TOPIC_ID',
    request: /^Fetch 1[3-8]/,
    path: /^(errorCode|sessionId|responses)$/,
    when: (kafka, ours) => kafka === 'UNKNOWN_SERVER_ERROR' || kafka === undefined || ours === undefined,
  },
  {
    name: 'the loggers of a broker',
    fidelity: 'The loggers of a broker are none',
    request: /^DescribeConfigs/,
    path: /\.configs\.(org|kafka|root|state)/,
    when: (kafka, ours) => ours === undefined,
  },
  {
    name: 'configs of one node',
    fidelity: 'Configs of brokers that have nothing to act on here',
    request: /^DescribeConfigs/,
    path: new RegExp(`\\.configs\\.(${[
      'connections.max.idle.ms', 'controller.quorum.voters', 'listener.security.protocol.map', 'listeners', 'log.dirs',
    ].map(name => name.replaceAll('.', '\\.')).join('|')})\\.`),
  },
  {
    name: 'documentation of configs',
    fidelity: 'DescribeConfigs documents configs in words of its own',
    request: /^DescribeConfigs/,
    path: /\.documentation$/,
  },
  {
    name: 'one protocol twice in a JoinGroup',
    fidelity: 'A JoinGroup with one protocol twice',
    request: /^JoinGroup/,
    path: /^$/,
    when: kafka => kafka === 'nothing',
  },
]
