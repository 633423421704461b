// librdkafka's own tests, which its crate brings along. Those that run against its mock broker or none are left out.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kafkaJars } from '../../oracle/brokers.mjs'

export { install } from './install.mjs'

export const about = "librdkafka's own tests (2.12.1), those that talk to a broker"
export const needs = ['cargo', 'cmake', 'make', 'cc', 'c++']
export const locks = ['install.mjs', '../../../bench/Cargo.lock']
export const atOnce = 4
export const limit = 180

/** As librdkafka's own clusters have it, where members that come within three seconds are in one generation. */
const CLUSTER = { 'num.partitions': 4, 'group.initial.rebalance.delay.ms': 3000 }
export const settings = { default: CLUSTER, noautocreate: { ...CLUSTER, 'auto.create.topics.enable': false } }

/** Tests of many, by the function that calls them: each of those is a test here. */
const CALLERS = { '0081': 'do_test_apis', '0102': 'main_0102_static_group_rebalance', '0103': 'main_0103_transactions', '0113': 'main_0113_cooperative_rebalance' }

/** Those that call Apache Kafka's shell tools. */
const CALL_TOOLS = ['0045', '0052', '0077', '0109', '0115', '0119']

/**
 * Its runner picks tests by their number and their scenario, so that those of one number are one test here. What is
 * left out: local tests (flagged so), those that are run by hand, and those that are known to fail.
 */
export function tests(home) {
  const declared = readFileSync(join(home, 'source/tests/test.c'), 'utf8').matchAll(/^ +_TEST\((\w+),\s*([^,)]+)([^;]*?)\)(?=,\s*(?:_TEST|#|\/\*|\{NULL))/gm)
  const found = new Map()
  for (const [, name, flags, rest] of declared) {
    if (/LOCAL|MANUAL|KNOWN_ISSUE\b/.test(flags) || name.endsWith('_mock')) continue
    const setting = /\.scenario = "noautocreate"/.test(rest) ? 'noautocreate' : 'default'
    const key = `${name.split('_')[0]} ${setting}`
    if (!found.has(key)) found.set(key, { name: setting === 'default' ? name : `${name} (noautocreate)`, number: name.split('_')[0], setting })
  }
  return [...found.values()].flatMap(test => divide(test, home)).map(test => ({ ...test, subset: SUBSET.includes(test.name) }))
}

/** A test, or those that it calls. */
function divide(test, home) {
  const caller = CALLERS[test.number]
  if (!caller) return [test]
  const file = readdirSync(join(home, 'source/tests')).find(file => file.startsWith(`${test.number}-`))
  const body = readFileSync(join(home, 'source/tests', file), 'utf8').split(new RegExp(`^[\\w ]+ ${caller}\\([^;]*?\\{$`, 'm'))[1].split('\n}')[0]
  const called = [...body.matchAll(/^ +((?:do_test|[a-z])_\w+)\(/gm)].map(([, name]) => name)
  return [...new Set(called)].map(part => ({ ...test, name: `${test.name}: ${part.replace('do_test_', '')}`, part, limit: LIMITS[part] }))
}

export function command(test, bootstrap, home) {
  const run = join(home, 'run', `${bootstrap.split(':').at(-1)}-${test.name.replace(/\W+/g, '-')}`)
  mkdirSync(run, { recursive: true })
  writeFileSync(join(run, 'test.conf'), `bootstrap.servers=${bootstrap}\ntest.topic.random=true\n`)
  const part = test.part && { SUBTESTS: test.part === 'a_assign_tests' ? 'assign_test' : `${test.part}:` }
  const tools = CALL_TOOLS.includes(test.number) && { KAFKA_PATH: join(home, 'kafka'), KAFKA_LIB: kafkaJars('4.3.1'), BROKERS: bootstrap }
  const env = { TESTS: test.number, ...part, ...tools, TEST_SCENARIO: test.setting, TEST_KAFKA_VERSION: '4.3.1', CI: '' }
  return { command: join(home, 'build/tests/test-runner'), args: ['-L', '-p1', '-K'], env, cwd: run }
}

/** A test that ended well may have skipped itself, and says why. */
export function verdict(test, { code, signal, out }) {
  const text = out.replace(/\x1b\[\d+m/g, '')
  if (code === 0) {
    if (/Test \w+ PASSED/.test(text) && (!test.part || /\[ \w+:\d+.*\]/.test(text))) {
      const skipped = test.part && text.match(/: SKIP: (.*?)(?: \])?$/m)
      return skipped ? { verdict: 'skipped', why: skipped[1] } : { verdict: 'passes' }
    }
    // The next line of the log may follow without a line's end.
    const reasons = [...text.matchAll(/SKIPPING TEST: (.*?) *(?:\[\w+ +\/|$)/gm)].map(([, why]) => why).filter(why => !why.startsWith('Filtered'))
    return { verdict: 'skipped', why: reasons[0] ?? 'does nothing here' }
  }
  const failed = text.match(/^### Test .* failed at .*\/(\S+:\d+).*\n(.*)/m)
  return { verdict: 'fails', why: failed ? `${failed[1]} ${failed[2]}`.slice(0, 200) : `ended with ${signal ?? code}` }
}

/** Some come again and again with other options. */
const LIMITS = { u_multiple_subscription_changes: 600 }

/** Those that are quick and tell most. */
const SUBSET = [
  '0003_msgmaxsize', '0005_order', '0007_autotopic', '0008_reqacks', '0012_produce_consume', '0013_null_msgs',
  '0014_reconsume_191', '0017_compression', '0019_list_groups', '0022_consume_batch', '0029_assign_offset',
  '0031_get_offsets', '0034_offset_reset', '0035_api_version', '0036_partial_fetch', '0039_event_dr',
  '0041_fetch_max_bytes', '0042_many_topics', '0044_partition_cnt', '0048_partitioner', '0054_offset_time',
  '0056_balanced_group_mt', '0057_invalid_topic', '0063_clusterid', '0064_interceptors', '0067_empty_topic',
  '0070_null_empty', '0073_headers', '0081_admin: AlterConfigs', '0081_admin: CreatePartitions',
  '0081_admin: DeleteRecords', '0081_admin: DeleteTopics', '0081_admin: DescribeCluster',
  '0081_admin: DescribeConfigs', '0081_admin: DescribeConfigs_groups', '0081_admin: DescribeTopics',
  '0081_admin: IncrementalAlterConfigs', '0090_idempotence', '0099_commit_metadata',
  '0103_transactions: consumer_producer_txn', '0103_transactions: fenced_txn', '0103_transactions: misuse_txn',
  '0103_transactions: txn_abort_control_message_leader_epoch', '0103_transactions: wmark_isolation_level',
  '0113_cooperative_rebalance: k_add_partition',
]

const SEGMENTS = 'makes a topic with segments smaller than 1 MiB, which Apache Kafka 4 refuses'
const ACLS = 'wants an authorizer'

/** Why a test fails or is skipped on both sides. */
export const notes = {
  '0077_compaction': SEGMENTS,
  '0129_fetch_aborted_msgs': SEGMENTS,
  '0081_admin: CreateAcls': ACLS,
  '0081_admin: DescribeAcls': ACLS,
  '0081_admin: DeleteAcls': ACLS,
  '0109_auto_create_topics': ACLS,
  '0115_producer_auth': ACLS,
  '0119_consumer_auth': ACLS,
}

/** Why ours fails where Apache Kafka passes. */
export const explained = {}
