/**
 * Arrays of the heap: a Proxy over a real array (so that `Array.isArray` is true), whose elements are read without
 * crossing into native code while the array is dense.
 *
 * The window shows the identity block {length, head, body, capacity} and the body, a ring of cells
 * (`crates/objects/src/array.rs`). What the identity says is kept with the version that it was read under; an element
 * counts only if the version is still that after its load, numbers too: a body is replaced and its memory used again.
 */
import type { Attachment } from './attachment.js'
import { isDirect } from './attachment.js'
import { methods } from './array-methods.js'
import { again, againAfter, immediate, keep, type ChildCache } from './cells.js'
import * as cells from './cells.js'
import { fail } from './errors.js'
import { inspectArray, shownShort } from './inspect.js'
import { In, Status, Tag } from './port.js'
import { dataProperty, descriptor, members } from './property.js'
import { isDefaultDescriptor, setOnReceiver } from './record.js'
import { UNKNOWN } from './shapes.js'
import { thenOf, unreadable } from './stand-in.js'
import { proxyTargetOf, targetOf, type Target } from './target.js'
import { wordIn, type Window } from './windows.js'

const custom = Symbol.for('nodejs.util.inspect.custom')
// the compiler knows what a constant of this module is, and not what an imported one is
const { ABSENT, ASK, scratchF, scratchU, zeros } = cells

// places in the identity block, in words of 4 bytes from word 0
const LOW_1 = 2
const LENGTH = 4
const HEAD = 5
const BODY = 6
const CAPACITY = 8
const NAMED = 10
/** Where the cells of a body begin, in bytes. */
const CELLS = 16

/** What stands behind an array. Never seen by users. */
export class ArrayTarget implements Target, ChildCache {
  readonly attachment: Attachment
  readonly h: number
  readonly tag = Tag.ARRAY
  readonly offset: number
  self!: unknown[]
  readonly proxied = true
  mark = 0
  writes = 0
  /** A named property has been written through this wrapper. */
  named = false
  readonly u32: Uint32Array
  readonly low: number
  child: object | undefined = undefined
  childLow = 0
  childHigh = 0
  /** Low half of word 0 under which the fields below were read; odd: never. */
  seen = 1
  count = 0
  head = 0
  capacity = 0
  cells: Float64Array = nothing
  /** Place of the first cell in `cells`. */
  base = 0

  constructor(attachment: Attachment, h: number, at: number, window: Window) {
    this.attachment = attachment
    this.h = h
    this.offset = at
    this.u32 = window.u32
    this.low = wordIn(at)
  }
}

/** What the Proxy is over: an array, so that `Array.isArray` is true. Nothing else of it shows to who looks behind it. */
class Shared extends Array<never> {
  readonly #target: ArrayTarget
  constructor(target: ArrayTarget) {
    super()
    this.#target = target
  }
  static target(shared: Shared): ArrayTarget {
    return shared.#target
  }

  /** Node prints a Proxy by what it is over; `this` is the Proxy, or, where Proxies are shown as such, what it is over. */
  [custom](depth: number, options: object, inspect: unknown): unknown {
    const t = #target in this ? this.#target : (targetOf(this) as ArrayTarget)
    return inspectArray(t, depth, options, inspect)
  }
}

const nothing = new Float64Array(0)
const plain = Array.prototype

/** The Proxy of an array and what stands behind it. */
export function makeArray(attachment: Attachment, h: number, at: number): Target {
  const target = new ArrayTarget(attachment, h, at, attachment.windows.at(at))
  target.self = new Proxy<unknown[]>(new Shared(target), handler)
  return target
}

/** The array whose method was looked up last: most likely what it is called on. */
let last: ArrayTarget | undefined

/** What stands behind `value` if it is an array of a heap. */
export function arrayTarget(value: unknown): ArrayTarget | undefined {
  const t = last
  if (t !== undefined && t.self === value) return t
  const target = typeof value === 'object' && value !== null ? proxyTargetOf(value) : undefined
  return target?.tag === Tag.ARRAY ? (target as ArrayTarget) : undefined
}

/** Reads the identity block anew. False: it is changing, or sparse, or destroyed: ask. */
function look(t: ArrayTarget): boolean {
  const { u32, low } = t
  const version = u32[low]
  if ((version & 1) !== 0 || u32[low + LOW_1] !== 0) return false
  const count = u32[low + LENGTH]
  const head = u32[low + HEAD]
  const body = u32[low + BODY] + u32[low + BODY + 1] * 2 ** 32
  const capacity = u32[low + CAPACITY]
  if (Atomics.load(u32, low) !== version || count > capacity || (head !== 0 && head >= capacity)) return false
  t.count = count
  t.head = head
  t.capacity = capacity
  if (body !== 0) {
    const window = t.attachment.windows.block(body, CELLS + 8 * capacity)
    if (window === undefined) return false
    t.cells = window.f64
    t.base = (wordIn(body) + CELLS / 4) >> 1
  }
  t.seen = version
  return true
}

/** An element, or ABSENT. A negative index counts from the end. */
export function element(t: ArrayTarget, index: number): unknown {
  if (index >= 0 && t.attachment.gate === 0) {
    const { u32, low } = t
    if (u32[low] === t.seen || look(t)) {
      if (index >= t.count) return ABSENT
      let i = t.head + index
      if (i >= t.capacity) i -= t.capacity
      const x = t.cells[t.base + i]
      scratchF[0] = x
      if (again(u32, low) === t.seen) {
        if (x === x) return x
        const value = immediate(t)
        if (value !== ASK) return value
      }
    }
  }
  return ask(t, index)
}

/**
 * True if an array that had this low half of word 0 has not changed since, and reads need not cross. `step` is another
 * number at each call after a run has been read, below 256: no compiler can take the look from the step before.
 */
export function isStill(t: ArrayTarget, version: number, step: number): boolean {
  return t.u32[t.low + zeros[step]] === version && t.attachment.gate === 0
}

/**
 * Reads the elements from `start` on into `run`, up to the first that cannot be read without crossing; as of `t.seen`.
 * `run` has so many elements of its own as are wanted. Says how many were read.
 */
export function readAhead(t: ArrayTarget, start: number, run: unknown[]): number {
  const { u32, low } = t
  if (t.attachment.gate !== 0 || (u32[low] !== t.seen && !look(t))) return 0
  const { cells, base, capacity } = t
  const n = Math.min(run.length, t.count - start)
  if (n <= 0) return 0
  // the look at the end hangs on every one of the cells: on arm64 one of them could else be read after it
  let bits = 0
  let k = 0
  let i = t.head + start
  if (i >= capacity) i -= capacity
  for (; k < n; k++) {
    const x = cells[base + i]
    if (++i === capacity) i = 0
    scratchF[0] = x
    bits |= scratchU[1]
    const value = x === x ? x : immediate(t)
    if (value === ASK || value === ABSENT) break
    run[k] = value
  }
  return againAfter(u32, low, bits) === t.seen ? k : 0
}

/** An element, or ABSENT, as the native side says. */
function ask(t: ArrayTarget, index: number): unknown {
  const a = t.attachment
  a.use(t)
  const version = t.u32[t.low]
  a.state[In.HANDLE] = t.h
  a.nums[In.VALUE] = index
  const value = answer(t, a.port.at())
  if (typeof value === 'object' && value !== null && index >= 0) remember(t, index, value, version)
  return value
}

function answer(t: ArrayTarget, value: unknown): unknown {
  const a = t.attachment
  const status = a.state[0]
  if (status === Status.NUMBER) return a.nums[In.VALUE]
  if (status === Status.ABSENT) return ABSENT
  if (status !== Status.OK) value = a.settle()
  return unreadable.count !== 0 && typeof value === 'object' && value !== null ? a.readable(value) : value
}

/** Keeps the child that an element was just found to be, under the bits of the cell that refers to it. */
function remember(t: ArrayTarget, index: number, child: object, version: number): void {
  // the cell still holds what was answered if nothing has changed since before the call
  if (t.attachment.gate !== 0 || t.seen !== version || index >= t.count) return
  let i = t.head + index
  if (i >= t.capacity) i -= t.capacity
  scratchF[0] = t.cells[t.base + i]
  if (again(t.u32, t.low) === version) keep(t, child)
}

/** The length. */
export function lengthOf(t: ArrayTarget): number {
  const a = t.attachment
  if (a.gate === 0 && (t.u32[t.low] === t.seen || look(t))) return t.count
  a.use(t)
  const n = a.port.length(t.h)
  a.done()
  return n
}

/** True if there may be named properties, or the array has been destroyed: ask. */
export function mayBeNamed(t: ArrayTarget): boolean {
  const { u32, low } = t
  return t.named || u32[low + NAMED] !== 0 || u32[low + NAMED + 1] !== 0 || u32[low + LOW_1] >>> 31 === 1
}

/** The index that a property key is, or -1. */
function indexOf(key: string): number {
  const n = key.length
  let x = key.charCodeAt(0) - 48
  if (!(x >= 0 && x <= 9)) return -1
  if (n === 1) return x
  if (x === 0 || n > 10) return -1
  for (let i = 1; i < n; i++) {
    const d = key.charCodeAt(i) - 48
    if (!(d >= 0 && d <= 9)) return -1
    x = x * 10 + d
  }
  return x < 2 ** 32 - 1 ? x : -1
}

/** A named property, or ABSENT. */
function named(t: ArrayTarget, key: string | symbol): unknown {
  const a = t.attachment
  if (!mayBeNamed(t)) {
    // of a closed heap nothing is known, not even that it is not there
    if (a.gate !== 0) a.use(t)
    return ABSENT
  }
  const name = typeof key === 'symbol' ? Symbol.keyFor(key) : key
  if (name === undefined) return ABSENT
  a.use(t)
  return answer(t, a.port.get(t.h, name, typeof key === 'symbol'))
}

/** The value of an own property but `length`, or ABSENT. */
function own(t: ArrayTarget, key: string | symbol): unknown {
  const index = typeof key === 'string' ? indexOf(key) : -1
  return index >= 0 ? element(t, index) : named(t, key)
}

/** Stores an element. */
export function putAt(t: ArrayTarget, index: number, value: unknown): void {
  const a = t.attachment
  a.use(t)
  t.writes++
  const { port, state } = a
  if (typeof value === 'number') {
    state[In.HANDLE] = t.h
    state[In.SLOT] = index
    a.nums[In.VALUE] = value
    port.putNumber()
  } else {
    // before the rest: a user's getters run while it is staged
    const wire = isDirect(value) ? 0 : a.stage(value)
    state[In.HANDLE] = t.h
    state[In.SLOT] = index
    state[In.WIRE] = wire
    port.put(isDirect(value) ? value : undefined)
  }
  a.done()
}

function setNamed(t: ArrayTarget, key: string | symbol, value: unknown): void {
  const a = t.attachment
  a.use(t)
  const isSymbol = typeof key === 'symbol'
  const name = isSymbol ? Symbol.keyFor(key) : key
  if (name === undefined) {
    if (key === members) return
    throw fail('ERR_COHEAP_UNSUPPORTED_TYPE', `the symbol ${String(key)} as a key cannot be stored: $`)
  }
  t.named = true
  if (isDirect(value)) a.port.set(t.h, name, value, 0, isSymbol)
  else a.port.set(t.h, name, undefined, a.stage(value), isSymbol)
  a.done()
}

/** A length, as the language has it: a RangeError for what is none. */
function toLength(value: unknown): number {
  // converted twice, as the language has it
  const length = (value as number) >>> 0
  if (length !== +(value as number)) throw new RangeError('Invalid array length')
  return length
}

function setLength(t: ArrayTarget, length: number): void {
  const a = t.attachment
  a.use(t)
  t.writes++
  a.port.setLength(t.h, length)
  a.done()
}

/** Defines the length, in the order of the language: what is no length is a RangeError, whatever else there is. */
function defineLength(t: ArrayTarget, property: PropertyDescriptor): boolean {
  const { writable, enumerable, configurable } = property
  const given = Object.hasOwn(property, 'value')
  const length = given ? toLength(property.value) : 0
  if (Object.hasOwn(property, 'get') || Object.hasOwn(property, 'set')) return false
  if (writable === false || enumerable === true || configurable === true) return false
  if (given) setLength(t, length)
  return true
}

const handler = shownShort<ProxyHandler<Shared>>({
  get(shared, key, receiver: unknown) {
    const t = Shared.target(shared)
    if (typeof key === 'string') {
      const index = indexOf(key)
      if (index >= 0) {
        const value = element(t, index)
        return value === ABSENT ? (Reflect.get(Array.prototype, key, receiver) as unknown) : value
      }
      if (key === 'length') return lengthOf(t)
    }
    if (mayBeNamed(t)) {
      const value = key === 'then' ? thenOf(() => named(t, key)) : named(t, key)
      if (value !== ABSENT) return value
    } else if (t.attachment.gate !== 0) t.attachment.use(t)
    const method = methods.get(key)
    // a program's own method on Array.prototype counts, as it does for any array
    if (method === undefined || plain[key as keyof unknown[]] !== method.plain) {
      return Reflect.get(plain, key, receiver) as unknown
    }
    last = t
    return method.shared
  },

  set(shared, key, value, receiver) {
    const t = Shared.target(shared)
    if (receiver !== t.self) {
      const current = key === 'length' ? lengthOf(t) : own(t, key)
      return setOnReceiver(Array.prototype, key, current, value, receiver)
    }
    const index = typeof key === 'string' ? indexOf(key) : -1
    if (key === 'length') setLength(t, toLength(value))
    else if (key in Array.prototype && own(t, key) === ABSENT) {
      return Reflect.set(Array.prototype, key, value, receiver)
    } else if (index >= 0) putAt(t, index, value)
    else setNamed(t, key, value)
    return true
  },

  has(shared, key) {
    const t = Shared.target(shared)
    return key === 'length' || own(t, key) !== ABSENT || key in Array.prototype
  },

  deleteProperty(shared, key) {
    const t = Shared.target(shared)
    if (key === 'length') return false
    const a = t.attachment
    const index = typeof key === 'string' ? indexOf(key) : -1
    const name = typeof key === 'symbol' ? Symbol.keyFor(key) : key
    if (name === undefined) return true
    a.use(t)
    t.writes++
    if (index >= 0) a.port.deleteIndex(t.h, index)
    else a.port.delete(t.h, name, typeof key === 'symbol')
    a.done()
    return true
  },

  ownKeys(shared) {
    const t = Shared.target(shared)
    const a = t.attachment
    a.use(t)
    a.port.indices(t.h)
    const indices: (string | symbol)[] = a.decodeNumbers().map(String)
    return indices.concat('length', namedKeys(t))
  },

  getOwnPropertyDescriptor(shared, key) {
    const t = Shared.target(shared)
    if (key === 'length')
      return descriptor({ value: lengthOf(t), writable: true, enumerable: false, configurable: false })
    const value = own(t, key)
    return value === ABSENT ? undefined : dataProperty(value)
  },

  defineProperty(shared, key, descriptor) {
    const t = Shared.target(shared)
    if (key === 'length') return defineLength(t, descriptor)
    const exists = own(t, key) !== ABSENT
    if (!isDefaultDescriptor(descriptor, exists)) return false
    if (exists && !('value' in descriptor)) return true
    const index = typeof key === 'string' ? indexOf(key) : -1
    if (index >= 0) putAt(t, index, descriptor.value)
    else setNamed(t, key, descriptor.value)
    return true
  },

  getPrototypeOf: () => Array.prototype as unknown[],
  setPrototypeOf: (_, prototype) => prototype === Array.prototype,
  isExtensible: () => true,
  preventExtensions: () => false,
})

/** The keys of the named properties. */
export function namedKeys(t: ArrayTarget): readonly (string | symbol)[] {
  if (!mayBeNamed(t)) return []
  const a = t.attachment
  a.use(t)
  a.port.keys(t.h)
  if (a.state[0] !== Status.OK) return a.decodeKeys()
  const shape = a.shapes.get(a.state[3])
  return shape === UNKNOWN ? [] : shape.keys
}
