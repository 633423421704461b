// The differences from Apache Kafka that are meant. Each stands in docs/FIDELITY.md in these words.

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
    when: (kafka, ours) => ours < kafka,
  },
]
