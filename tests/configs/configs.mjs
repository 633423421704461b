#!/usr/bin/env node
// Writes tests/configs/configs.txt: what Apache Kafka says to static configs of a broker, each value alone (at its bounds,
// beyond, of the wrong type) and those of together.txt as they stand there (see Configs.java):
//
//     node tests/configs/configs.mjs
//
// Needs a JDK and Maven.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const VERSION = '4.3.1'
const here = fileURLToPath(new URL('.', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'configs-'))
const run = (command, args) => execFileSync(command, args, { stdio: 'inherit' })

try {
  writeFileSync(
    join(scratch, 'pom.xml'),
    `<project><modelVersion>4.0.0</modelVersion><groupId>shore</groupId><artifactId>configs</artifactId><version>1</version>
     <dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${VERSION}</version></dependency></dependencies></project>`,
  )
  const lib = join(scratch, 'lib')
  run('mvn', ['-q', '-B', '-f', scratch, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`])
  run('javac', ['-cp', join(lib, '*'), '-d', scratch, join(here, 'Configs.java')])
  run('java', ['-cp', [scratch, join(lib, '*')].join(delimiter), 'Configs', join(here, 'configs.txt'), join(here, 'together.txt')])
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
