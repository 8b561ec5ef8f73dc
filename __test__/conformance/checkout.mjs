// What is read of a checkout of test262: the tests, what the head of each says, the harness.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join, sep } from 'node:path'
import { Script } from 'node:vm'
import { parse } from 'yaml'

/** A test: its source and what its head says of it. */
export function readTest(root, path) {
  const text = readFileSync(join(root, 'test', path), 'utf8')
  const head = /\/\*---\r?\n([\s\S]*?)---\*\//.exec(text)
  const { flags = [], includes = [], features = [], negative } = head === null ? {} : (parse(head[1]) ?? {})
  return { path, text, flags, includes, features, negative }
}

const scripts = new Map()

/** A file of the harness, compiled once. */
export function harness(root, name) {
  let script = scripts.get(name)
  if (script === undefined) {
    script = new Script(readFileSync(join(root, 'harness', name), 'utf8'), { filename: `harness/${name}` })
    scripts.set(name, script)
  }
  return script
}

/** The paths of all tests under a folder of `test/`, in order. */
export function listTests(root, folder) {
  if (!existsSync(join(root, 'test', folder))) return []
  return readdirSync(join(root, 'test', folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.js') && !entry.name.includes('_FIXTURE'))
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(join(root, 'test').length + 1)
        .split(sep)
        .join('/'),
    )
    .sort()
}
