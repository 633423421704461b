// Builds librdkafka's tests from the crate that brings it along.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sh } from '../process.mjs'

/** The benchmarks pin librdkafka, with its checksum. */
const PIN = fileURLToPath(new URL('../../../bench/Cargo.toml', import.meta.url))

/** Apache Kafka's shell tools that tests call, by their classes. */
const SCRIPTS = {
  'kafka-acls.sh': 'org.apache.kafka.tools.AclCommand',
  'kafka-configs.sh': 'kafka.admin.ConfigCommand',
  'kafka-topics.sh': 'org.apache.kafka.tools.TopicCommand',
}

export function install(home) {
  const metadata = JSON.parse(sh(home, 'cargo', ['metadata', '--locked', '--format-version', '1', '--manifest-path', PIN]))
  const crate = metadata.packages.find(({ name }) => name === 'rdkafka-sys')
  const source = join(home, 'source')
  rmSync(source, { recursive: true, force: true })
  cpSync(join(dirname(crate.manifest_path), 'librdkafka'), source, { recursive: true })
  // What its CMake defines as 0 is asked for by `#ifdef` in this one place.
  replace(join(source, 'src/rdkafka_conf.c'), '#ifdef WITH_OAUTHBEARER_OIDC', '#if WITH_OAUTHBEARER_OIDC')
  // Its own clusters have three brokers: what wants three replicas is content with the one that there is.
  replace(join(source, 'tests/test.c'), 'NewTopic_new(topicname, partition_cnt, replication_factor,', 'NewTopic_new(topicname, partition_cnt, RD_MIN(replication_factor, 1),')
  // Topics are called after __FILE__ without folders.
  replace(join(source, 'tests/test.c'), '        if (!strncmp(suffix, "main_", 5))', '        if (strrchr(suffix, \'/\'))\n                suffix = strrchr(suffix, \'/\') + 1;\n        if (!strncmp(suffix, "main_", 5))')
  for (const [script, tool] of Object.entries(SCRIPTS)) {
    mkdirSync(join(home, 'kafka/bin'), { recursive: true })
    writeFileSync(join(home, 'kafka/bin', script), `#!/bin/sh\nexec java -cp "$KAFKA_LIB/*" ${tool} "$@"\n`, { mode: 0o755 })
  }
  build(home)
}

function build(home) {
  const off = ['RDKAFKA_BUILD_EXAMPLES', 'WITH_SSL', 'WITH_SASL', 'WITH_CURL', 'WITH_ZSTD', 'ENABLE_LZ4_EXT']
  const flags = ['CMAKE_BUILD_TYPE=None', 'CMAKE_C_FLAGS=-O1', 'CMAKE_CXX_FLAGS=-O1', 'RDKAFKA_BUILD_STATIC=ON', ...off.map(name => `${name}=OFF`)]
  sh(home, 'cmake', ['-S', 'source', '-B', 'build', ...flags.map(flag => `-D${flag}`)])
  sh(home, 'cmake', ['--build', 'build', '--target', 'test-runner', '--parallel', '2'])
}

function replace(file, from, to) {
  const text = readFileSync(file, 'utf8')
  if (!text.includes(from)) throw new Error(`${file} does not say ${from}`)
  writeFileSync(file, text.replace(from, to))
}
