// One test, judged: as it is on this Node, on live containers, and, where these differ, on the model of the contract.
import { readFileSync } from 'node:fs'
import { Script } from 'node:vm'
import { EXCLUDED } from './groups.mjs'
import { harness } from './checkout.mjs'
import { loadLibrary, makeRealm } from './realm.mjs'
import { transform } from './transform.mjs'

const here = (name) => readFileSync(new URL(name, import.meta.url), 'utf8')
const contract = new Script(here('contract.js'), { filename: 'contract.js' })
const live = new Script(here('live.js'), { filename: 'live.js' })

/** The ways in which live objects differ from the language, the commonest first: see the README, "Where live objects differ". */
export const DIFFERENCES = {
  accessors: 'an accessor property is refused',
  attributes: 'attributes other than the default ones are refused',
  functions: 'a function cannot be stored',
  symbols: 'a symbol that is not registered cannot be stored, neither as value nor as key',
  extensible: 'preventExtensions, seal and freeze are refused',
  prototype: 'setPrototypeOf is refused',
  copies: 'storing copies a plain object in, and refuses kinds that cannot be stored',
}

/** Proposals that the library brings where this Node has them not: its own methods must pass all the same. */
const BROUGHT = new Set(['set-methods', 'upsert'])

/** Why a test is not for live containers at all, as its head says; or undefined. */
export function inapplicable(test) {
  const excluded = EXCLUDED.find(({ tests }) => tests.test(test.path))
  if (excluded !== undefined) return excluded.reason
  if (test.flags.includes('module')) return 'a module'
  if (test.negative !== undefined) return 'a test of syntax errors'
  if (test.flags.includes('CanBlockIsFalse') || test.flags.includes('CanBlockIsTrue')) return 'a test of agents'
  return undefined
}

/** The modes that the test asks for. */
export function modesOf({ flags }) {
  if (flags.includes('onlyStrict')) return ['strict']
  if (flags.includes('noStrict') || flags.includes('raw')) return ['sloppy']
  return ['sloppy', 'strict']
}

/**
 * How it comes out in one mode. `likely` is the reason that it had in the other mode: it is tried first.
 * @returns {{outcome: 'passed' | 'inapplicable' | 'documented' | 'failed', reason?: string, error?: string}}
 */
export async function judge(root, test, mode, likely) {
  let text
  try {
    text = transform(test.text)
  } catch (error) {
    if (error instanceof SyntaxError) return { outcome: 'inapplicable', reason: 'acorn does not parse it' }
    throw error
  }
  if (text === test.text) return { outcome: 'inapplicable', reason: 'no container in it' }
  const plain = await attempt(root, test, test.text, mode, () => ({}))
  const brought = test.features.some((feature) => BROUGHT.has(feature))
  if (plain.error !== undefined && !brought)
    return { outcome: 'inapplicable', reason: `Node ${process.version} itself does not pass it` }
  const onLive = await attemptLive(root, test, text, mode)
  if (onLive.error === undefined) {
    if (onLive.made > 0 || METHODS.test(text)) return { outcome: 'passed' }
    return { outcome: 'inapplicable', reason: 'no container in it that can be stored' }
  }
  const unchanged = await attempt(root, test, text, mode, (realm) => realm.run(UNCHANGED, 'unchanged'))
  if (plain.error === undefined && unchanged.error !== undefined)
    return { outcome: 'inapplicable', reason: 'it looks at its own source' }
  const why = await documented(root, test, text, mode, onLive, likely)
  if (why !== undefined) return { outcome: 'documented', reason: why, error: onLive.error }
  return { outcome: 'failed', error: onLive.error, at: onLive.at, model: onLive.model }
}

/** Which differences make the model fail in the same way, if they do. */
async function documented(root, test, text, mode, onLive, likely) {
  const fails = async (differences) => {
    const onModel = await attempt(root, test, text, mode, (realm) => {
      return contract.runInContext(realm.context)(differences)
    })
    onLive.model ??= onModel
    return onModel.error !== undefined && sameFailure(onModel, onLive)
  }
  const same = Object.keys(DIFFERENCES).find((name) => DIFFERENCES[name] === likely)
  if (same !== undefined && (await fails([same]))) return likely
  if (COLLECTIONS.test(text) && (await fails([]))) return 'SharedMap and SharedSet are classes of their own'
  for (const one of Object.keys(DIFFERENCES)) if (await fails([one])) return DIFFERENCES[one]
  return (await fails(Object.keys(DIFFERENCES))) ? 'several of these at once' : undefined
}

const COLLECTIONS = /\$(?:Map|Set)\b/

/** The methods of collections are tested without one, too. */
const METHODS = /\$(?:Map|Set)\.prototype\b/

/** The names that a transformed test uses, without any effect. */
const UNCHANGED = '({ $live: (value) => value, $Map: Map, $Set: Set })'

/** The same assertion of the test, or an error of the same kind at the same place of it. */
function sameFailure(a, b) {
  if (a.at !== b.at || a.kind !== b.kind) return false
  return a.kind !== 'Test262Error' || a.error === b.error
}

async function attemptLive(root, test, text, mode) {
  let heap
  try {
    return await attempt(root, test, text, mode, async (realm) => {
      const library = await loadLibrary(realm.context)
      heap = library.Heap.create(undefined, { size: '1MiB', maxParticipants: 8 })
      return live.runInContext(realm.context)(heap, library)
    })
  } finally {
    heap?.close()
  }
}

/** Runs a script in a fresh realm. */
async function attempt(root, test, text, mode, prepare) {
  const realm = makeRealm()
  realm.run('Error.stackTraceLimit = 50', 'limit')
  const names = await prepare(realm)
  const { made = () => 0, ...globals } = names
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(realm.context, name, { value, writable: true, configurable: true, enumerable: false })
  }
  const async = test.flags.includes('async')
  let report
  const said = new Promise((resolve) => (report = resolve))
  realm.context.print = (line) => report(String(line))
  realm.context.$262 = host(realm)
  try {
    if (!test.flags.includes('raw')) {
      const includes = ['assert.js', 'sta.js', ...(async ? ['doneprintHandle.js'] : []), ...test.includes]
      for (const name of includes) harness(root, name).runInContext(realm.context)
    }
    realm.run(mode === 'strict' ? `"use strict";${text}` : text, test.path)
    if (async) {
      const line = await Promise.race([said, silence()])
      if (line !== 'Test262:AsyncTestComplete') return { ...failure(line, test.path), made: made() }
    }
    return { made: made() }
  } catch (error) {
    return { ...failure(error, test.path), made: made() }
  }
}

async function silence() {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  return 'it never called $DONE'
}

/** What a failure says, of which kind it is, and where in the test it was. */
function failure(error, path) {
  if (typeof error !== 'object' || error === null) return { error: String(error), kind: 'value', at: '' }
  const read = (key) => {
    try {
      return String(error[key])
    } catch {
      return ''
    }
  }
  const kinds = [TypeError, RangeError, ReferenceError, SyntaxError]
  let kind = read('name')
  for (let p = error; p !== null; p = Object.getPrototypeOf(p)) {
    const name = Object.getOwnPropertyDescriptor(p, 'name')?.value
    if (kinds.some((Class) => Class.name === name)) kind = name
  }
  if (error.constructor?.name === 'Test262Error') kind = 'Test262Error'
  const stack = read('stack')
  const frames = [...stack.matchAll(/([^\s()]+):(\d+):(\d+)/g)].filter(([, file]) => file.endsWith(path))
  const at = frames[0] === undefined ? '' : `${frames[0][2]}:${frames[0][3]}`
  return { error: `${kind}: ${read('message')}`, kind, at }
}

/** The host's object that the tests may ask for. */
function host(realm) {
  return {
    global: realm.context,
    evalScript: (text) => realm.run(text, 'evalScript'),
    createRealm: () => host(makeRealm()),
    detachArrayBuffer: (buffer) => void structuredClone(buffer, { transfer: [buffer] }),
    gc: () => undefined,
  }
}
