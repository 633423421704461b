#!/usr/bin/env node
// Writes tests/wire/message-sets.txt: what Apache Kafka 3.9.1, the last to know formats 0 and 1, makes of message sets
// that old clients send, and of batches that old clients read (see MessageSets.java):
//
//     node tests/wire/message-sets.mjs
//
// Needs a JDK and Maven.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const VERSION = '3.9.1'
const MODULES = ['kafka-clients', 'kafka-storage', 'kafka-server-common']
const here = fileURLToPath(new URL('.', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'message-sets-'))
const run = (command, args) => execFileSync(command, args, { stdio: 'inherit' })

try {
  const dependency = module =>
    `<dependency><groupId>org.apache.kafka</groupId><artifactId>${module}</artifactId><version>${VERSION}</version></dependency>`
  writeFileSync(
    join(scratch, 'pom.xml'),
    `<project><modelVersion>4.0.0</modelVersion><groupId>shore</groupId><artifactId>sets</artifactId><version>1</version>
     <dependencies>${MODULES.map(dependency).join('')}</dependencies></project>`,
  )
  const lib = join(scratch, 'lib')
  run('mvn', ['-q', '-B', '-f', scratch, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`])
  run('javac', ['-cp', join(lib, '*'), '-d', scratch, join(here, 'MessageSets.java')])
  run('java', ['-cp', [scratch, join(lib, '*')].join(delimiter), 'MessageSets', join(here, 'message-sets.txt')])
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
