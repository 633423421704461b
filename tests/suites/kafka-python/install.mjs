// Unpacks kafka-python's source distribution and brings what its tests need.
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sh } from '../process.mjs'

const HERE = fileURLToPath(new URL('.', import.meta.url))

export function install(home) {
  const [python, source] = [join(home, 'venv/bin/python'), join(home, 'source')]
  rmSync(join(home, 'venv'), { recursive: true, force: true })
  rmSync(source, { recursive: true, force: true })
  sh(home, 'python3', ['-m', 'venv', 'venv'])
  const pip = (...args) => sh(home, python, ['-m', 'pip', '--quiet', '--disable-pip-version-check', ...args])
  pip('install', '-r', join(HERE, 'requirements.txt'))
  pip('download', '--no-deps', '--no-binary', ':all:', '--require-hashes', '-d', 'archive', '-r', join(HERE, 'source.txt'))
  mkdirSync(source)
  const archive = readdirSync(join(home, 'archive')).find(file => file.endsWith('.tar.gz'))
  sh(home, 'tar', ['xzf', join('archive', archive), '-C', source, '--strip-components=1'])
  // Two files of the tests that the archive leaves out. Without the first, Python takes its own `test` for this one.
  writeFileSync(join(source, 'test/__init__.py'), '')
  cpSync(join(HERE, 'service.py'), join(source, 'test/service.py'))
}
