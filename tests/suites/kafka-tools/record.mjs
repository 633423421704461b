#!/usr/bin/env node
// Writes down what Kafka's shell tools say of Apache Kafka: node tests/suites/kafka-tools/record.mjs [SESSION]...
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { startKafka, TARGET } from '../../oracle/brokers.mjs'
import { file, normalized } from './session.mjs'
import { command, install, tests } from './suite.mjs'

const home = join(TARGET, 'suites/kafka-tools')
const wanted = process.argv.slice(2)
mkdirSync(home, { recursive: true })
if (!existsSync(join(home, 'classes'))) install(home)
for (const test of tests().filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const kafka = await startKafka('4.3.1')
  const { command: java, args } = command(test, kafka.address, home, kafka)
  const { status, stdout, stderr } = spawnSync(java, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  await kafka.stop()
  if (status !== 0) throw new Error(`${test.name} ended with ${status}: ${stderr}`)
  writeFileSync(file(test.name), normalized(stdout))
  console.log(`${test.name} is written down`)
}
