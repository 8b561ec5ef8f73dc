/**
 * {@link SharedSet}: what a `Set` in the heap comes back as.
 */
import type { Attachment } from './attachment.js'
import { isDirect } from './attachment.js'
import {
  CollectionTarget,
  Cursor,
  changing,
  collectionOf,
  has,
  isForeign,
  iteratorClass,
  point,
  uncloneable,
  using,
  withKey,
} from './collection.js'
import { inspectSet } from './inspect.js'
import { Tag } from './port.js'
import { members, ownOnly } from './property.js'
import type { Target } from './target.js'

const custom = Symbol.for('nodejs.util.inspect.custom')
const Values = iteratorClass('Set Iterator')

function of(self: unknown, method: string): CollectionTarget {
  return collectionOf(self, Tag.SET, `SharedSet.prototype.${method}`)
}

/** What the set algebra takes: anything with the size, `has` and `keys` of a set. */
export interface SetLike<T> {
  readonly size: number
  has(value: T): boolean
  keys(): Iterator<T>
}

/** An argument of the set algebra, looked at once. */
interface SetRecord<T> {
  readonly size: number
  has(value: T): boolean
  /** Visits each value until `visit` gives false: false then. */
  each(visit: (value: T) => boolean | undefined): boolean
}

/** Checks an argument of the set algebra as the language does, in its order. */
function recordOf<T>(other: SetLike<T>): SetRecord<T> {
  if (!isObject(other)) throw new TypeError('The argument must be a set-like object')
  const number = +other.size
  if (Number.isNaN(number)) throw new TypeError("The 'size' property must be a number")
  const size = Math.trunc(number)
  if (size < 0) throw new RangeError(`'${number}' is an invalid size`)
  const has = other.has
  if (typeof has !== 'function') throw new TypeError("The 'has' property must be a function")
  const keys = other.keys
  if (typeof keys !== 'function') throw new TypeError("The 'keys' property must be a function")
  return {
    size,
    has: (value) => Boolean(has.call(other, value)),
    each: (visit) => eachKey(keys.call(other), visit),
  }
}

function eachKey<T>(iterator: Iterator<T>, visit: (value: T) => boolean | undefined): boolean {
  if (!isObject(iterator)) throw new TypeError("The result of 'keys' must be an iterator")
  const next = iterator.next
  for (;;) {
    const step = next.call(iterator)
    if (!isObject(step)) throw new TypeError('The result of an iterator must be an object')
    if (step.done as unknown as boolean) return true
    if (visit(step.value as T) === false) {
      iterator.return?.()
      return false
    }
  }
}

function isObject(value: unknown): boolean {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

/**
 * A set that lives in a heap: the methods of `Set`, any storable value, the order of insertion, each call one atomic
 * operation. It cannot be constructed or subclassed: store a `Set` and read it back. It is not `instanceof Set`. The
 * set algebra makes plain sets, which hold the live members.
 */
export class SharedSet<T = unknown> {
  /** Not a `Set`, which has the same methods. */
  declare private readonly brand: 'SharedSet'

  private constructor() {
    throw new TypeError('Illegal constructor: store a Set in a heap and read it back')
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
    return has(t, value)
  }

  /**
   * Adds a value, copied in.
   * @throws ERR_COHEAP_UNSUPPORTED_TYPE, ERR_COHEAP_OUT_OF_MEMORY
   */
  add(value: T): this {
    const t = of(this, 'add')
    const a = changing(t)
    point(t, isDirect(value) ? 0 : a.stage(value))
    a.port.setAdd(isDirect(value) ? value : undefined)
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
  forEach(callback: (value: T, same: T, set: SharedSet<T>) => void, ...[thisArg]: [thisArg?: unknown]): void {
    const cursor = new Cursor(of(this, 'forEach'), 1)
    if (typeof callback !== 'function') throw new TypeError(`${String(callback)} is not a function`)
    while (cursor.next()) callback.call(thisArg, cursor.key as T, cursor.key as T, this)
  }

  /** The values in the order of insertion. The iterator survives any change of the set. */
  values(): SetIterator<T> {
    return new Values(of(this, 'values'), 1, (c) => c.key) as unknown as SetIterator<T>
  }

  /** As {@link values}. */
  keys(): SetIterator<T> {
    return this.values()
  }

  /** Each value twice, as `Set` has it. */
  entries(): SetIterator<[T, T]> {
    return new Values(of(this, 'entries'), 1, (c) => [c.key, c.key]) as unknown as SetIterator<[T, T]>
  }

  /** As {@link values}. */
  [Symbol.iterator](): SetIterator<T> {
    return this.values()
  }

  /** A plain set of what is in either. */
  union<U>(other: SetLike<U>): Set<T | U> {
    of(this, 'union')
    const others = recordOf(other)
    const result = new Set<T | U>(this)
    others.each((value) => void result.add(value))
    return result
  }

  /** A plain set of what is in both. */
  intersection<U>(other: SetLike<U>): Set<T & U> {
    of(this, 'intersection')
    const others = recordOf(other)
    const result = new Set<T & U>()
    if (this.size <= others.size) {
      for (const value of this) if (others.has(value as unknown as U)) result.add(value as T & U)
    } else {
      others.each((value) => {
        if (this.has(value as unknown as T)) result.add(value as T & U)
        return undefined
      })
    }
    return result
  }

  /** A plain set of what is in this one only. */
  difference<U>(other: SetLike<U>): Set<T> {
    of(this, 'difference')
    const others = recordOf(other)
    const result = new Set<T>(this)
    if (result.size <= others.size) {
      for (const value of result) if (others.has(value as unknown as U)) result.delete(value)
    } else others.each((value) => void result.delete(value as unknown as T))
    return result
  }

  /** A plain set of what is in one of the two only. */
  symmetricDifference<U>(other: SetLike<U>): Set<T | U> {
    of(this, 'symmetricDifference')
    const others = recordOf(other)
    const result = new Set<T | U>(this)
    others.each((value) => {
      // what is here now counts: the other's keys may be an iterator that changes this set
      if (this.has(value as unknown as T)) result.delete(value)
      else result.add(value)
      return undefined
    })
    return result
  }

  /** True if all of this is in the other. */
  isSubsetOf(other: SetLike<unknown>): boolean {
    of(this, 'isSubsetOf')
    const others = recordOf(other)
    if (this.size > others.size) return false
    for (const value of this) if (!others.has(value)) return false
    return true
  }

  /** True if all of the other is in this. */
  isSupersetOf(other: SetLike<unknown>): boolean {
    of(this, 'isSupersetOf')
    const others = recordOf(other)
    if (this.size < others.size) return false
    return others.each((value) => this.has(value as T))
  }

  /** True if the two have nothing in common. */
  isDisjointFrom(other: SetLike<unknown>): boolean {
    of(this, 'isDisjointFrom')
    const others = recordOf(other)
    if (this.size <= others.size) {
      for (const value of this) if (others.has(value)) return false
      return true
    }
    return others.each((value) => !this.has(value as T))
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

/** Without it two of them would have the same own properties, none, and so be deeply equal for Node's `assert`. */
const shown = ownOnly({
  get(this: SharedSet) {
    return new Set(this)
  },
  enumerable: true,
})

const make = uncloneable(SharedSet.prototype)

/** The wrapper of a set and what stands behind it. */
export function makeSet(attachment: Attachment, h: number, offset: number): Target {
  const target = new CollectionTarget(attachment, h, Tag.SET, offset)
  target.self = Object.defineProperty(make(), members, shown)
  return target
}
