/**
 * What shared maps and sets have in common: how a key finds its entry, and iteration by insertion numbers, in runs
 * that are fetched ahead and thrown away as soon as the collection may have changed.
 */
import type { Attachment } from './attachment.js'
import { isDirect } from './attachment.js'
import type { Places } from './places.js'
import { In } from './port.js'
import { scope } from './scope.js'
import { unreadable } from './stand-in.js'
import { ordinaryTargetOf, targetOf, type Target } from './target.js'
import { wordIn } from './windows.js'

/** What stands behind a map or a set. */
export class CollectionTarget implements Target {
  readonly attachment: Attachment
  readonly h: number
  readonly tag: number
  readonly offset: number
  self!: object
  readonly proxied = false
  mark = 0
  writes = 0
  readonly u32: Uint32Array
  readonly low: number
  /** Of a map: where the entries stand that were asked for. */
  places: Places | undefined = undefined

  constructor(attachment: Attachment, h: number, tag: number, offset: number) {
    this.attachment = attachment
    this.h = h
    this.tag = tag
    this.offset = offset
    this.u32 = attachment.windows.at(offset).u32
    this.low = wordIn(offset)
  }
}

/** What stands behind `self`, or a TypeError as the language's own methods throw it. */
export function collectionOf(self: unknown, tag: number, method: string): CollectionTarget {
  const target = typeof self === 'object' && self !== null ? ordinaryTargetOf(self) : undefined
  if (target?.tag !== tag) {
    throw new TypeError(`Method ${method} called on incompatible receiver ${describe(self)}`)
  }
  return target as CollectionTarget
}

function describe(value: unknown): string {
  if (value === null || typeof value !== 'object') return String(value)
  return Object.prototype.toString.call(value)
}

/**
 * Makes objects with this prototype that structured clone refuses. An ordinary one it would copy as `{}`, silently; a
 * generator's object, which this is and which nobody runs, it does not.
 */
export function uncloneable<T extends object>(prototype: T): () => T {
  function* make(): Generator {
    // never run
  }
  make.prototype = prototype as Generator
  return make as unknown as () => T
}

/** Before a call on it. */
export function using(t: CollectionTarget): Attachment {
  t.attachment.use(t)
  return t.attachment
}

/** Before a change of it. */
export function changing(t: CollectionTarget): Attachment {
  t.attachment.use(t)
  t.writes++
  return t.attachment
}

/** A key that cannot be in any collection of this heap: looking it up must not copy it in. */
export function isForeign(a: Attachment, key: unknown): boolean {
  // first: a switch makes the engine look up the name of the type (15 ns)
  if (isDirect(key)) return false
  switch (typeof key) {
    case 'object':
      return key !== null && targetOf(key)?.attachment !== a
    case 'function':
      return true
    case 'symbol':
      return Symbol.keyFor(key) === undefined
    default:
      return false
  }
}

/** Says which collection the next call is about, and how much is staged for it. */
export function point(t: CollectionTarget, wire: number): void {
  const { state } = t.attachment
  state[In.HANDLE] = t.h
  state[In.WIRE] = wire
}

/** True if the key is there, which is not foreign. */
export function has(t: CollectionTarget, key: unknown): boolean {
  const a = t.attachment
  point(t, isDirect(key) ? 0 : a.stage(key))
  const there = a.port.mapHas(isDirect(key) ? key : undefined)
  a.done()
  return there
}

/** A key for a call: as it is, or staged: then `wire` says how long it is. */
export interface Key {
  direct: number | string | boolean | undefined
  wire: number
}

/** Looks up with a key: `call` gets it in the form in which it crosses. */
export function withKey<T>(a: Attachment, key: unknown, call: (direct: Key['direct'], wire: number) => T): T {
  return isDirect(key) ? call(key, 0) : call(undefined, a.stage(key))
}

const FIRST_RUN = 8
const LONGEST_RUN = 128

/** Goes through the entries in insertion order; survives any change, as the language's iterators do. */
export class Cursor {
  private readonly t: CollectionTarget
  private readonly stride: 1 | 2
  private readonly shown: boolean
  private run: unknown[] = []
  private at = 0
  /** The insertion numbers that bound the run are only known at its end: how far the ones handed out go. */
  private last = 0
  private runLength = FIRST_RUN
  private version = 0
  private writes = 0
  private epoch = 0
  private serial = 0
  private numbers: Float64Array | undefined
  key: unknown
  value: unknown

  /** @param shown what cannot be read is stood in for, to be shown */
  constructor(t: CollectionTarget, stride: 1 | 2, shown = false) {
    this.shown = shown
    this.t = t
    this.stride = stride
  }

  /** Moves to the next entry: `key` and `value` then; false at the end. */
  next(): boolean {
    if (this.at >= this.run.length || !this.fresh()) {
      if (!this.fetch()) return false
    }
    this.key = this.run[this.at]
    if (this.stride === 2) this.value = this.run[this.at + 1]
    this.last = this.numbers![this.at / this.stride]!
    this.at += this.stride
    if (unreadable.count !== 0 && !this.shown) this.check()
    return true
  }

  private check(): void {
    const { key, value, t } = this
    if (typeof key === 'object' && key !== null) t.attachment.readable(key)
    if (typeof value === 'object' && value !== null) t.attachment.readable(value)
  }

  /** The run is still what the collection holds. */
  private fresh(): boolean {
    const { t } = this
    const a = t.attachment
    if (this.writes !== t.writes) return false
    if (this.serial !== (scope.attempt?.serial ?? 0)) return false
    // inside a transaction nobody else's changes show
    if (this.serial !== 0) return true
    return a.gate === 0 && this.epoch === a.epoch && t.u32[t.low] === this.version
  }

  private fetch(): boolean {
    const { t } = this
    const a = using(t)
    this.version = t.u32[t.low]!
    this.writes = t.writes
    this.serial = scope.attempt?.serial ?? 0
    this.epoch = a.present()
    // where nothing tells of changes, one entry at a time
    const many = this.serial !== 0 || (a.gate === 0 && (this.version & 1) === 0)
    a.port.mapEntries(t.h, this.last, many ? this.runLength : 1)
    const { values, numbers } = a.decodeEntries(this.stride)
    this.runLength = Math.min(2 * this.runLength, LONGEST_RUN)
    this.run = values
    this.numbers = numbers
    this.at = 0
    return values.length > 0
  }
}

const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object

/** The class of the iterators that `keys`, `values` and `entries` of maps give, or of sets. */
export function iteratorClass(tag: string): CollectionIteratorClass {
  class CollectionIterator {
    #cursor: Cursor | undefined
    readonly #pick: (cursor: Cursor) => unknown

    constructor(t: CollectionTarget, stride: 1 | 2, pick: (cursor: Cursor) => unknown) {
      this.#cursor = new Cursor(t, stride)
      this.#pick = pick
    }

    next(): IteratorResult<unknown, undefined> {
      const cursor = this.#cursor
      if (cursor?.next() === true) return { value: this.#pick(cursor), done: false }
      this.#cursor = undefined
      return { value: undefined, done: true }
    }
  }
  return asBuiltIn(CollectionIterator, tag)
}

/** @see iteratorClass */
export type CollectionIteratorClass = new (
  t: CollectionTarget,
  stride: 1 | 2,
  pick: (cursor: Cursor) => unknown,
) => object

/** Gives a class of iterators the prototype that the language's own have: no constructor, a tag. */
export function asBuiltIn<T extends { readonly prototype: object }>(Class: T, tag: string): T {
  const { prototype } = Class
  Object.setPrototypeOf(prototype, IteratorPrototype)
  Object.defineProperty(prototype, Symbol.toStringTag, { value: tag, configurable: true })
  delete (prototype as { constructor?: unknown }).constructor
  return Class
}
