// Processes that suites and their frame run.
import { spawnSync } from 'node:child_process'

/** Runs a command to its end and hands back what it printed. */
export function sh(cwd, command, args, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? (stdout + stderr).slice(-4000)}`)
  return stdout
}

/** Ends a child that was started as the head of its process group, and all that it started. */
export function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}
