/**
 * {@link SharedMap}: what a `Map` in the heap comes back as.
 */
import type { Attachment } from './attachment.js'
import { isDirect } from './attachment.js'
import { ASK } from './cells.js'
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
import { inspectMap } from './inspect.js'
import { Places } from './places.js'
import { In, Status, Tag } from './port.js'
import { members, ownOnly } from './property.js'
import type { Target } from './target.js'
import { atomically } from './transaction.js'
import { wordIn } from './windows.js'

const custom = Symbol.for('nodejs.util.inspect.custom')
const Entries = iteratorClass('Map Iterator')

/** What stands behind `self`. */
function of(self: unknown, method: string): CollectionTarget {
  return collectionOf(self, Tag.MAP, `SharedMap.prototype.${method}`)
}

/**
 * A map that lives in a heap: the methods of `Map`, any storable key, the order of insertion, each call one atomic
 * operation. Keys are compared as `Map` does (SameValueZero; shared objects by identity). It cannot be constructed or
 * subclassed: store a `Map` and read it back. It is not `instanceof Map`.
 */
export class SharedMap<K = unknown, V = unknown> {
  /** Not a `Map`, which has the same methods. */
  declare private readonly brand: 'SharedMap'

  private constructor() {
    throw new TypeError('Illegal constructor: store a Map in a heap and read it back')
  }

  /** The number of entries. */
  get size(): number {
    const t = of(this, 'size')
    const a = using(t)
    const n = a.port.size(t.h)
    a.done()
    return n
  }

  /** The value of a key, or undefined. Never copies the key in. */
  get(key: K): V | undefined {
    const t = of(this, 'get')
    const { places } = t
    if (places !== undefined && t.attachment.gate === 0) {
      const value = places.peek(t.u32, t.low, key)
      if (value !== ASK) return value as V | undefined
    }
    const a = using(t)
    if (isForeign(a, key)) return undefined
    const value = find(t, key)
    if (a.state[In.PLACE] === 1) remember(t, key)
    return a.alone(value) as V | undefined
  }

  /** True if the key is there. Never copies the key in. */
  has(key: K): boolean {
    const t = of(this, 'has')
    const a = using(t)
    if (isForeign(a, key)) return false
    return has(t, key)
  }

  /**
   * Stores a value under a key; both are copied in.
   * @throws ERR_COHEAP_UNSUPPORTED_TYPE, ERR_COHEAP_OUT_OF_MEMORY
   */
  set(key: K, value: V): this {
    const t = of(this, 'set')
    const a = changing(t)
    const n = isDirect(key) && isDirect(value) ? 0 : a.stagePair(key, value)
    point(t, n)
    a.port.mapSet(isDirect(key) ? key : undefined, isDirect(value) ? value : undefined)
    a.done()
    return this
  }

  /** The value of a key; if there is none, this value, copied in, in the same operation. Gives the live version. */
  getOrInsert(key: K, value: V): V {
    const t = of(this, 'getOrInsert')
    const a = changing(t)
    return a.result(put(a, key, value, (k, v, n) => a.port.mapGetOrInsert(t.h, k, v, n))) as V
  }

  /**
   * As {@link getOrInsert}; the value is computed only if there is none. The callback runs outside of the operation: what
   * another process has stored meanwhile stays, what the callback itself has stored is overwritten, as `Map` has it.
   */
  getOrInsertComputed(key: K, compute: (key: K) => V): V {
    const t = of(this, 'getOrInsertComputed')
    if (typeof compute !== 'function') throw new TypeError(`${String(compute)} is not a function`)
    const a = using(t)
    if (Object.is(key, -0)) key = 0 as K
    if (!isForeign(a, key)) {
      const value = find(t, key)
      if (a.state[0] !== Status.ABSENT) return a.result(value) as V
    }
    const { writes } = t
    const value = compute(key)
    if (t.writes === writes) return this.getOrInsert(key, value)
    return atomically(a, () => this.set(key, value).get(key)) as V
  }

  /** Removes an entry: true if there was one. */
  delete(key: K): boolean {
    const t = of(this, 'delete')
    const a = changing(t)
    if (isForeign(a, key)) return false
    const there = withKey(a, key, (k, n) => a.port.mapDelete(t.h, k, n))
    a.done()
    return there
  }

  /** Removes all entries. */
  clear(): void {
    const t = of(this, 'clear')
    const a = changing(t)
    a.port.mapClear(t.h)
    a.done()
  }

  /** Calls back for each entry, in the order of insertion; entries that are added meanwhile are visited too. */
  forEach(callback: (value: V, key: K, map: SharedMap<K, V>) => void, ...[thisArg]: [thisArg?: unknown]): void {
    const cursor = new Cursor(of(this, 'forEach'), 2)
    if (typeof callback !== 'function') throw new TypeError(`${String(callback)} is not a function`)
    while (cursor.next()) callback.call(thisArg, cursor.value as V, cursor.key as K, this)
  }

  /** The entries in the order of insertion. The iterator survives any change of the map. */
  entries(): MapIterator<[K, V]> {
    return new Entries(of(this, 'entries'), 2, (c) => [c.key, c.value]) as unknown as MapIterator<[K, V]>
  }

  /** The keys in the order of insertion. */
  keys(): MapIterator<K> {
    return new Entries(of(this, 'keys'), 2, (c) => c.key) as unknown as MapIterator<K>
  }

  /** The values in the order of insertion. */
  values(): MapIterator<V> {
    return new Entries(of(this, 'values'), 2, (c) => c.value) as unknown as MapIterator<V>
  }

  /** As {@link entries}. */
  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries()
  }

  declare readonly [Symbol.toStringTag]: string;

  /** @internal */
  [custom](depth: number, options: object, inspect: unknown): unknown {
    return inspectMap(of(this, 'inspect'), depth, options, inspect)
  }
}

Object.defineProperty(SharedMap.prototype, Symbol.toStringTag, { value: 'SharedMap', configurable: true })
Object.defineProperty(SharedMap.prototype, Symbol.iterator, {
  value: SharedMap.prototype.entries,
  writable: true,
  configurable: true,
})

/** Asks for the value of a key. */
function find(t: CollectionTarget, key: unknown): unknown {
  const { port, state, gate } = t.attachment
  if (isDirect(key)) {
    point(t, 0)
    state[In.PLACE] = gate === 0 && (t.places ??= new Places()).wanted() ? 1 : 0
    return port.mapGet(key)
  }
  point(t, t.attachment.stage(key))
  state[In.PLACE] = 0
  return port.mapGet(undefined)
}

/** Remembers where the entry stands that was just asked for, as the answer says. */
function remember(t: CollectionTarget, key: unknown): void {
  const { state, nums } = t.attachment
  const status = state[0]
  if (status !== Status.OK && status !== Status.NUMBER) return
  const value = nums[In.VALUE]
  const guard = nums[In.GUARD]
  const at = nums[In.KEY_AT]
  const keyLow = state[In.KEY_CELL]
  const blockLow = nums[In.KEY_BLOCK] === 0 ? keyLow : state[In.KEY_WORD]
  const block = nums[In.KEY_BLOCK] === 0 ? at : nums[In.KEY_BLOCK]
  const place = {
    guard: wordIn(guard),
    at: wordIn(at),
    keyLow,
    keyHigh: state[In.KEY_CELL + 1],
    block: wordIn(block),
    blockLow,
  }
  const common = { body: nums[In.BODY], stripes: nums[In.STRIPES] }
  // may be a call, whose answer is another one
  const window = t.attachment.windows.of([guard, at, at + 8, block])
  state[0] = status
  nums[In.VALUE] = value
  if (window !== undefined) t.places!.add(key, place, common, window)
}

/** A call with a key and a value, each as it is or staged. */
function put<T>(
  a: Attachment,
  key: unknown,
  value: unknown,
  call: (key: number | string | boolean | undefined, value: number | string | boolean | undefined, wire: number) => T,
): T {
  const n = isDirect(key) && isDirect(value) ? 0 : a.stagePair(key, value)
  return call(isDirect(key) ? key : undefined, isDirect(value) ? value : undefined, n)
}

/** Without it two of them would have the same own properties, none, and so be deeply equal for Node's `assert`. */
const shown = ownOnly({
  get(this: SharedMap) {
    return new Map(this)
  },
  enumerable: true,
})

const make = uncloneable(SharedMap.prototype)

/** The wrapper of a map and what stands behind it. */
export function makeMap(attachment: Attachment, h: number, offset: number): Target {
  const target = new CollectionTarget(attachment, h, Tag.MAP, offset)
  target.self = Object.defineProperty(make(), members, shown)
  return target
}
