// A fresh realm with the library loaded inside of it: its Object.prototype and Array.prototype are the ones that a test
// changes and compares with, and nobody else's. Needs --experimental-vm-modules.
import { readFileSync, readdirSync } from 'node:fs'
import vm from 'node:vm'

const dist = new URL('../../dist/', import.meta.url)

/** The library's modules that need no loading of their own: name → source and compiled code. */
const sources = new Map()

function source(url) {
  let entry = sources.get(url)
  if (entry === undefined) sources.set(url, (entry = { text: readFileSync(new URL(url), 'utf8'), code: undefined }))
  return entry
}

/** What the library takes from Node: of the main realm, as in every vm context. */
const builtIns = new Map()
for (const name of ['node:util', 'node:events', 'node:crypto', 'node:worker_threads', 'node:module', 'node:vm']) {
  builtIns.set(name, await import(name))
}

// all modules are read before a test may take the machine's time
for (const name of readdirSync(dist)) if (name.endsWith('.js')) source(new URL(name, dist).href)

/**
 * A realm.
 * @returns {{context: object, run(text: string, file: string): unknown}}
 */
export function makeRealm() {
  const context = vm.createContext(Object.create(null))
  const run = (text, filename) => vm.runInContext(text, context, { filename })
  // Node's own globals that the library uses; not enumerable, as they are in Node
  for (const name of [
    'process',
    'performance',
    'queueMicrotask',
    'AbortSignal',
    'Buffer',
    'URL',
    'setTimeout',
    'clearTimeout',
    'setImmediate',
    'console',
  ]) {
    Object.defineProperty(context, name, {
      value: globalThis[name],
      writable: true,
      enumerable: false,
      configurable: true,
    })
  }
  return { context, run }
}

/** Loads the library into a realm: its exports. */
export async function loadLibrary(context) {
  const modules = new Map()
  const link = (specifier, referrer) => {
    const builtIn = builtIns.get(specifier)
    const url = builtIn === undefined ? new URL(specifier, referrer.identifier).href : specifier
    let module = modules.get(url)
    if (module === undefined) {
      module = builtIn === undefined ? libraryModule(url, context) : builtInModule(builtIn, context)
      modules.set(url, module)
    }
    return module
  }
  const main = libraryModule(new URL('index.js', dist).href, context)
  modules.set(main.identifier, main)
  await main.link(link)
  await main.evaluate()
  return main.namespace
}

function libraryModule(url, context) {
  const entry = source(url)
  const module = new vm.SourceTextModule(entry.text, {
    identifier: url,
    context,
    cachedData: entry.code,
    initializeImportMeta: (meta) => void (meta.url = url),
  })
  entry.code ??= module.createCachedData()
  return module
}

function builtInModule(namespace, context) {
  const names = Object.keys(namespace)
  return new vm.SyntheticModule(
    names,
    function () {
      for (const name of names) this.setExport(name, namespace[name])
    },
    { context },
  )
}
