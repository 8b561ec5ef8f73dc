/**
 * {@link SharedSet}: what a `Set` in the heap comes back as.
 */
import type { Attachment } from './attachment.js'
import { isDirect } from './attachment.js'
import {
  CollectionIterator,
  CollectionTarget,
  Cursor,
  changing,
  collectionOf,
  isForeign,
  using,
  withKey,
} from './collection.js'
import { inspectSet } from './inspect.js'
import { Tag } from './port.js'
import type { Target } from './target.js'

const key: unique symbol = Symbol('SharedSet')
const custom = Symbol.for('nodejs.util.inspect.custom')

function of(self: unknown, method: string): CollectionTarget {
  return collectionOf(self, Tag.SET, `SharedSet.prototype.${method}`)
}

/** What the set algebra takes: anything with the size, `has` and `keys` of a set. */
export interface SetLike<T> {
  readonly size: number
  has(value: T): boolean
  keys(): Iterator<T>
}

/** An argument of the set algebra, checked as the language does. */
function setLike<T>(other: SetLike<T>): SetLike<T> {
  if (other === null || typeof other !== 'object') throw new TypeError('The argument must be a set-like object')
  const size = Number(other.size)
  if (Number.isNaN(size)) throw new TypeError("The 'size' property must be a number")
  if (Math.trunc(size) < 0) throw new RangeError(`'${size}' is an invalid size`)
  const { has, keys } = other
  if (typeof has !== 'function') throw new TypeError("The 'has' property must be a function")
  if (typeof keys !== 'function') throw new TypeError("The 'keys' property must be a function")
  return {
    size: Math.trunc(size),
    has: (value) => Boolean(has.call(other, value)),
    keys: () => keys.call(other),
  }
}

function each<T>(other: SetLike<T>, visit: (value: T) => boolean | undefined): boolean {
  const iterator = other.keys()
  for (;;) {
    const step = iterator.next()
    if (step.done === true) return true
    if (visit(step.value) === false) {
      iterator.return?.()
      return false
    }
  }
}

/**
 * A set that lives in a heap: the methods of `Set`, any storable value, the order of insertion, each call one atomic
 * operation. It cannot be constructed or subclassed: store a `Set` and read it back. It is not `instanceof Set`. The
 * set algebra makes plain sets, which hold the live members.
 */
export class SharedSet<T = unknown> {
  /** Not a `Set`, which has the same methods. */
  declare private readonly brand: 'SharedSet'

  private constructor(token: unknown) {
    if (token !== key) throw new TypeError('Illegal constructor: store a Set in a heap and read it back')
  }

  /** The number of values. */
  get size(): number {
    const t = of(this, 'size')
    const a = using(t)
    const n = a.port.size(t.h)
    a.done()
    return n
  }

  /** True if the value is there. Never copies it in. */
  has(value: T): boolean {
    const t = of(this, 'has')
    const a = using(t)
    if (isForeign(a, value)) return false
    const there = withKey(a, value, (k, n) => a.port.mapHas(t.h, k, n))
    a.done()
    return there
  }

  /**
   * Adds a value, copied in.
   * @throws ERR_COHEAP_UNSUPPORTED_TYPE, ERR_COHEAP_OUT_OF_MEMORY
   */
  add(value: T): this {
    const t = of(this, 'add')
    const a = changing(t)
    if (isDirect(value)) a.port.setAdd(t.h, value, 0)
    else a.port.setAdd(t.h, undefined, a.stage(value))
    a.done()
    return this
  }

  /** Removes a value: true if it was there. */
  delete(value: T): boolean {
    const t = of(this, 'delete')
    const a = changing(t)
    if (isForeign(a, value)) return false
    const there = withKey(a, value, (k, n) => a.port.mapDelete(t.h, k, n))
    a.done()
    return there
  }

  /** Removes all values. */
  clear(): void {
    const t = of(this, 'clear')
    const a = changing(t)
    a.port.mapClear(t.h)
    a.done()
  }

  /** Calls back for each value, in the order of insertion; values that are added meanwhile are visited too. */
  forEach(callback: (value: T, same: T, set: SharedSet<T>) => void, thisArg?: unknown): void {
    const cursor = new Cursor(of(this, 'forEach'), 1)
    if (typeof callback !== 'function') throw new TypeError(`${String(callback)} is not a function`)
    while (cursor.next()) callback.call(thisArg, cursor.key as T, cursor.key as T, this)
  }

  /** The values in the order of insertion. The iterator survives any change of the set. */
  values(): SetIterator<T> {
    return new CollectionIterator(of(this, 'values'), 1, (c) => c.key) as unknown as SetIterator<T>
  }

  /** As {@link values}. */
  keys(): SetIterator<T> {
    return this.values()
  }

  /** Each value twice, as `Set` has it. */
  entries(): SetIterator<[T, T]> {
    return new CollectionIterator(of(this, 'entries'), 1, (c) => [c.key, c.key]) as unknown as SetIterator<[T, T]>
  }

  /** As {@link values}. */
  [Symbol.iterator](): SetIterator<T> {
    return this.values()
  }

  /** A plain set of what is in either. */
  union<U>(other: SetLike<U>): Set<T | U> {
    of(this, 'union')
    const others = setLike(other)
    const result = new Set<T | U>(this)
    each(others, (value) => void result.add(value))
    return result
  }

  /** A plain set of what is in both. */
  intersection<U>(other: SetLike<U>): Set<T & U> {
    of(this, 'intersection')
    const others = setLike(other)
    const result = new Set<T & U>()
    if (this.size <= others.size) {
      for (const value of this) if (others.has(value as unknown as U)) result.add(value as T & U)
    } else {
      each(others, (value) => {
        if (this.has(value as unknown as T)) result.add(value as T & U)
        return undefined
      })
    }
    return result
  }

  /** A plain set of what is in this one only. */
  difference<U>(other: SetLike<U>): Set<T> {
    of(this, 'difference')
    const others = setLike(other)
    const result = new Set<T>(this)
    if (result.size <= others.size) {
      for (const value of result) if (others.has(value as unknown as U)) result.delete(value)
    } else each(others, (value) => void result.delete(value as unknown as T))
    return result
  }

  /** A plain set of what is in one of the two only. */
  symmetricDifference<U>(other: SetLike<U>): Set<T | U> {
    of(this, 'symmetricDifference')
    const others = setLike(other)
    const mine = new Set<T | U>(this)
    const result = new Set<T | U>(mine)
    each(others, (value) => {
      if (mine.has(value)) result.delete(value)
      else result.add(value)
      return undefined
    })
    return result
  }

  /** True if all of this is in the other. */
  isSubsetOf(other: SetLike<unknown>): boolean {
    of(this, 'isSubsetOf')
    const others = setLike(other)
    if (this.size > others.size) return false
    for (const value of this) if (!others.has(value)) return false
    return true
  }

  /** True if all of the other is in this. */
  isSupersetOf(other: SetLike<unknown>): boolean {
    of(this, 'isSupersetOf')
    const others = setLike(other)
    if (this.size < others.size) return false
    return each(others, (value) => this.has(value as T))
  }

  /** True if the two have nothing in common. */
  isDisjointFrom(other: SetLike<unknown>): boolean {
    of(this, 'isDisjointFrom')
    const others = setLike(other)
    if (this.size <= others.size) {
      for (const value of this) if (others.has(value)) return false
      return true
    }
    return each(others, (value) => !this.has(value as T))
  }

  declare readonly [Symbol.toStringTag]: string;

  /** @internal */
  [custom](depth: number, options: object, inspect: unknown): unknown {
    return inspectSet(of(this, 'inspect'), depth, options, inspect)
  }
}

Object.defineProperty(SharedSet.prototype, Symbol.toStringTag, { value: 'SharedSet', configurable: true })
for (const name of ['keys', Symbol.iterator]) {
  Object.defineProperty(SharedSet.prototype, name, {
    value: SharedSet.prototype.values,
    writable: true,
    configurable: true,
  })
}

const Make = SharedSet as unknown as new (token: unknown) => SharedSet

/** The wrapper of a set and what stands behind it. */
export function makeSet(attachment: Attachment, h: number, offset: number): Target {
  const target = new CollectionTarget(attachment, h, Tag.SET, offset)
  target.self = new Make(key)
  return target
}
