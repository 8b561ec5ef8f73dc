/**
 * Plain objects and instances of classes: a Proxy, whose reads need not cross into native code.
 *
 * **Reading without crossing.** The read-only window shows the object itself: word 0 (its low half is {version, C}),
 * the shape word, and the inline slots. A number is one 64-bit load, so it is some value that the property had after
 * the shape was compared: right by itself. Anything else counts only if the version is unchanged after the load. The
 * store to `scratchF` keeps the compiler from folding two reads into one; {@link again} keeps it from folding the
 * second look at the version into the first; and only in `scratchF` does a NaN keep its payload, which is the value.
 */
import type { Attachment } from './attachment.js'
import { isDirect } from './attachment.js'
import { unregistered, type ClassInfo } from './classes.js'
import { again, immediate, keep, type ChildCache } from './cells.js'
import * as cells from './cells.js'
import { fail } from './errors.js'
import { fitting } from './fields.js'
import { inspectRecord, shownShort } from './inspect.js'
import { In, Status, Tag } from './port.js'
import { dataProperty, members } from './property.js'
import { MOST_INLINE, UNKNOWN, type Shape } from './shapes.js'
import { thenOf, unreadable } from './stand-in.js'
import { targetOf, type Target } from './target.js'
import { wordIn, type Window } from './windows.js'

const custom = Symbol.for('nodejs.util.inspect.custom')
// the compiler knows what a constant of this module is, and not what an imported one is
const { ABSENT, ASK, scratchF, scratchU } = cells

/** What stands behind a plain object or an instance. Never seen by users: the Proxy shows none of its fields. */
export class RecordTarget implements Target, ChildCache {
  // what each reading looks at comes first: it lies in two lines of the processor's cache
  readonly attachment: Attachment
  readonly info: ClassInfo
  shape: Shape
  readonly u32: Uint32Array
  readonly f64: Float64Array
  /** Place of the low half of word 0 in `u32`; the shape word is two further on. */
  readonly low: number
  /** Place of word 0 in `f64`. */
  readonly base: number
  readonly h: number
  readonly tag = Tag.RECORD
  readonly offset: number
  self!: object
  readonly proxied: boolean
  mark = 0
  writes = 0
  /** The child that was read last, and the bits of the cell that refers to it. */
  child: object | undefined = undefined
  childLow = 0
  childHigh = 0

  constructor(attachment: Attachment, h: number, at: number, window: Window, info: ClassInfo) {
    this.attachment = attachment
    this.h = h
    this.offset = at
    this.info = info
    this.proxied = info.layout === undefined
    this.shape = UNKNOWN
    this.u32 = window.u32
    this.f64 = window.f64
    this.low = wordIn(at)
    this.base = this.low >> 1
  }
}

/** What the Proxy is over. Nothing of it shows where a tool looks behind the Proxy, as Node's `assert` does. */
class Shared {
  readonly #target: RecordTarget
  constructor(target: RecordTarget) {
    this.#target = target
  }
  static target(shared: Shared): RecordTarget {
    return shared.#target
  }

  /** Node prints a Proxy by what it is over; `this` is the Proxy, or, where Proxies are shown as such, what it is over. */
  [custom](depth: number, options: object, inspect: unknown): unknown {
    const t = #target in this ? this.#target : (targetOf(this) as RecordTarget)
    return inspectRecord(t, depth, options, inspect)
  }
}

/** The Proxy of a record and what stands behind it. */
export function makeRecord(
  attachment: Attachment,
  h: number,
  at: number,
  shapeWord: number,
  info: ClassInfo,
): RecordTarget {
  const target = new RecordTarget(attachment, h, at, attachment.windows.at(at), info)
  target.shape = attachment.shapes.knownAt(shapeWord, at)
  if (info.prototype === undefined) unreadable.count++
  target.self = new Proxy(new Shared(target), info.prototype === undefined ? guarded : handler)
  return target
}

/** The value of an own property, read without crossing; ABSENT; or ASK. */
function peek(t: RecordTarget, key: string | symbol): unknown {
  if (t.attachment.gate !== 0) return ASK
  const u32 = t.u32
  const low = t.low
  const version = u32[low]
  const shape = t.shape
  if ((version & 1) !== 0 || u32[low + 2] !== shape.id) return ASK
  const word = shape.words.get(key)
  if (word === undefined) return shape.slots.has(key) ? ASK : ABSENT
  const x = t.f64[t.base + word]
  scratchF[0] = x
  if (x === x) return x
  if (again(u32, low) !== version) return ASK
  return immediate(t)
}

/** The value of an own property, or ABSENT, as the native side says. */
export function ask(t: RecordTarget, key: string | symbol): unknown {
  const a = t.attachment
  a.use(t)
  const slot = t.shape.slots.get(key)
  if (slot !== undefined) {
    const version = t.u32[t.low]
    point(t, slot)
    let value = a.port.getSlot()
    if (a.state[0] !== Status.STALE) {
      value = answer(t, value)
      if (typeof value === 'object' && value !== null && a.gate === 0) remember(t, key, value, version)
      return value
    }
  }
  let name: string | undefined
  let value: unknown
  if (typeof key === 'string') value = a.port.get(t.h, key)
  else if ((name = Symbol.keyFor(key)) === undefined) return ABSENT
  else value = a.port.get(t.h, name, true)
  return answer(t, value)
}

/** Says which slot the next call is about. */
function point(t: RecordTarget, slot: number): void {
  const { state } = t.attachment
  state[In.HANDLE] = t.h
  state[In.SHAPE] = t.shape.id
  state[In.SLOT] = slot
}

/** What the native side has answered to a reading. */
function answer(t: RecordTarget, value: unknown): unknown {
  const a = t.attachment
  const status = a.state[0]
  if (status === Status.NUMBER) value = a.nums[In.VALUE]
  else if (status !== Status.OK) value = status === Status.ABSENT ? ABSENT : a.settle()
  refresh(t)
  return unreadable.count !== 0 && typeof value === 'object' && value !== null ? a.readable(value) : value
}

/** Keeps the child that a property was just found to hold, under the bits of the cell that refers to it. */
function remember(t: RecordTarget, key: string | symbol, child: object, version: number): void {
  const word = t.shape.words.get(key)
  // the cell still holds what was answered if nothing has changed since before the call
  if (word === undefined || (version & 1) !== 0 || t.u32[t.low + 2] !== t.shape.id) return
  scratchF[0] = t.f64[t.base + word]
  if (again(t.u32, t.low) === version) keep(t, child)
}

/**
 * The object's shape, as it stands in the heap. Inside a transaction too, although its own view may be another: the
 * native side compares it, and after an abort nobody believes in the shape of what the attempt had made.
 */
function refresh(t: RecordTarget): void {
  const word = t.u32[t.low + 2]
  if (word === t.shape.id) return
  const shape = t.attachment.shapes.at(word, t.offset)
  t.shape = fits(t.info, shape) ? shape : UNKNOWN
}

/** True but for a shape that an instance of this struct does not have: its accessors count on the places of its slots. */
export function fits(info: ClassInfo, shape: Shape): boolean {
  if (info.layout === undefined) return true
  const { names } = info.layout
  return (
    shape.keys.length === names.length &&
    names.every((name, slot) => shape.slots.get(name) === slot && (slot >= MOST_INLINE || shape.words.has(name)))
  )
}

/** The value of an own property, or ABSENT. */
function own(t: RecordTarget, key: string | symbol): unknown {
  const value = peek(t, key)
  return value === ASK ? ask(t, key) : value
}

function set(t: RecordTarget, key: string | symbol, slot: number | undefined, value: unknown): void {
  const { info } = t
  if (info.fields !== undefined)
    value = fitting(info.fields, key, value, () => `$, stored as .${String(key)} of a ${info.name}`)
  store(t, key, slot, value)
}

/** Sets a property, whose slot may be known. */
export function store(t: RecordTarget, key: string | symbol, slot: number | undefined, value: unknown): void {
  const a = t.attachment
  a.use(t)
  t.writes++
  const { port, state } = a
  if (slot !== undefined) {
    if (typeof value === 'number') {
      point(t, slot)
      a.nums[In.VALUE] = value
      port.setSlotNumber()
    } else if (isDirect(value)) {
      point(t, slot)
      port.setSlot(value)
    } else {
      // before the rest: a user's getters run while it is staged
      const wire = a.stage(value)
      point(t, slot)
      state[In.WIRE] = wire
      port.setSlot(undefined)
    }
    if (state[0] === Status.OK) return
    if (state[0] !== Status.STALE) throw a.fault()
  }
  const isSymbol = typeof key === 'symbol'
  const name = isSymbol ? Symbol.keyFor(key) : key
  if (name === undefined) {
    if (key === members) return
    throw fail('ERR_COHEAP_UNSUPPORTED_TYPE', `the symbol ${String(key)} as a key cannot be stored: $`)
  }
  if (isDirect(value)) port.set(t.h, name, value, 0, isSymbol)
  else port.set(t.h, name, undefined, a.stage(value), isSymbol)
  a.done()
  refresh(t)
}

/** What `Object.defineProperty` may do to a live object: set a value with the default attributes. */
export function isDefaultDescriptor(descriptor: PropertyDescriptor, exists: boolean): boolean {
  // own ones only: a program may have added to Object.prototype
  if (Object.hasOwn(descriptor, 'get') || Object.hasOwn(descriptor, 'set')) {
    throw fail('ERR_COHEAP_UNSUPPORTED_TYPE', 'an accessor property cannot be stored: $')
  }
  const { writable = exists, enumerable = exists, configurable = exists } = descriptor
  return writable && enumerable && configurable
}

/**
 * An assignment that came here by a prototype chain, or by `Reflect.set` with a receiver of its own: as the language
 * has it, and never a write to the shared object.
 */
export function setOnReceiver(
  prototype: object | null,
  key: string | symbol,
  current: unknown,
  value: unknown,
  receiver: unknown,
): boolean {
  const stand = Object.create(prototype) as object
  if (current !== ABSENT) {
    Object.defineProperty(stand, key, dataProperty(current))
  }
  return Reflect.set(stand, key, value, receiver)
}

const handler = shownShort<ProxyHandler<Shared>>({
  get(shared, key, receiver: unknown) {
    const t = Shared.target(shared)
    // `peek` by hand: this is the path that all speed depends on
    if (t.attachment.gate === 0) {
      const u32 = t.u32
      const low = t.low
      const version = u32[low]
      const shape = t.shape
      if ((version & 1) === 0 && u32[low + 2] === shape.id) {
        const word = shape.words.get(key)
        if (word !== undefined) {
          const x = t.f64[t.base + word]
          scratchF[0] = x
          if (x === x) return x
          if (again(u32, low) === version) {
            const { child } = t
            if (child !== undefined && scratchU[0] === t.childLow && scratchU[1] === t.childHigh) return child
            const value = immediate(t)
            if (value !== ASK && value !== ABSENT) return value
          }
        } else if (!shape.slots.has(key)) return inherited(t, key, receiver)
      }
    }
    const value = key === 'then' ? thenOf(() => ask(t, key)) : ask(t, key)
    return value === ABSENT ? inherited(t, key, receiver) : value
  },

  set(shared, key, value, receiver) {
    const t = Shared.target(shared)
    if (receiver !== t.self) {
      return setOnReceiver(prototypeOf(t), key, own(t, key), value, receiver)
    }
    const slot = t.shape.slots.get(key)
    if (slot === undefined) {
      const prototype = prototypeOf(t)
      if (prototype !== null && key in prototype && own(t, key) === ABSENT) {
        // a setter (such as __proto__), or a property that the prototype forbids to shadow
        return Reflect.set(prototype, key, value, receiver)
      }
    }
    set(t, key, slot, value)
    return true
  },

  has(shared, key) {
    const t = Shared.target(shared)
    if (own(t, key) !== ABSENT) return true
    const prototype = prototypeOf(t)
    return prototype !== null && key in prototype
  },

  deleteProperty(shared, key) {
    const t = Shared.target(shared)
    const a = t.attachment
    a.use(t)
    t.writes++
    const isSymbol = typeof key === 'symbol'
    const name = isSymbol ? Symbol.keyFor(key) : key
    if (name === undefined) return true
    a.port.delete(t.h, name, isSymbol)
    a.done()
    return true
  },

  ownKeys(shared) {
    const t = Shared.target(shared)
    return ownKeys(t)
  },

  getOwnPropertyDescriptor(shared, key) {
    const t = Shared.target(shared)
    const value = own(t, key)
    return value === ABSENT ? undefined : dataProperty(value)
  },

  defineProperty(shared, key, descriptor) {
    const t = Shared.target(shared)
    const exists = own(t, key) !== ABSENT
    if (!isDefaultDescriptor(descriptor, exists)) return false
    if (!exists || 'value' in descriptor) set(t, key, t.shape.slots.get(key), descriptor.value)
    return true
  },

  getPrototypeOf(shared) {
    const t = Shared.target(shared)
    return prototypeOf(t)
  },

  setPrototypeOf(shared, prototype) {
    const t = Shared.target(shared)
    return prototype === prototypeOf(t)
  },

  isExtensible: () => true,
  preventExtensions: () => false,
})

/** The traps of an instance whose class was not registered when its wrapper was made. */
const guarded: ProxyHandler<Shared> = shownShort({})
for (const [trap, normal] of Object.entries(handler) as [string, (shared: Shared, ...rest: unknown[]) => unknown][]) {
  ;(guarded as Record<string, typeof normal>)[trap] = (shared, ...rest) => {
    const t = Shared.target(shared)
    if (t.info.prototype !== undefined) return normal(shared, ...rest)
    // an object on its way through a promise is asked for its `then`
    if (trap === 'get' && rest[0] === 'then') return undefined
    throw unregistered(t.info.name)
  }
}

function prototypeOf(t: RecordTarget): object | null {
  return t.info.prototype as object | null
}

function inherited(t: RecordTarget, key: string | symbol, receiver: unknown): unknown {
  const prototype = prototypeOf(t)
  return prototype === null ? undefined : Reflect.get(prototype, key, receiver)
}

/** The own keys, in the language's order. */
export function ownKeys(t: RecordTarget): (string | symbol)[] {
  const a = t.attachment
  if (a.gate === 0) {
    const version = t.u32[t.low]
    const shape = t.shape
    if ((version & 1) === 0 && !shape.sparse && t.u32[t.low + 2] === shape.id) return shape.keys as (string | symbol)[]
  }
  a.use(t)
  a.port.keys(t.h)
  if (a.state[0] === Status.OK) {
    const shape = a.shapes.get(a.state[3])
    if (shape !== UNKNOWN) return shape.keys as (string | symbol)[]
    a.port.entries(t.h)
    return a.decodePairs().filter((_, i) => i % 2 === 0) as (string | symbol)[]
  }
  return a.decodeKeys()
}

/** Keys and values in turn: one consistent view. */
export function entriesOf(t: Target): unknown[] {
  const a = t.attachment
  a.use(t)
  a.port.entries(t.h)
  return a.decodePairs()
}
