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
]
