/**
 * What stands behind every live object of this thread, and the table from a live object to it.
 */
import type { Attachment } from './attachment.js'
import { Tag } from './port.js'

/** What every kind of live object has. */
export interface Target {
  readonly attachment: Attachment
  /** Handle: lives as long as the wrapper. */
  readonly h: number
  /** {@link Tag} */
  readonly tag: number
  /** Offset in the segment. */
  readonly offset: number
  /** The wrapper. */
  self: object
  /** The wrapper is a Proxy. */
  readonly proxied: boolean
  /** Serial of the last attempt of a transaction that holds the wrapper. */
  mark: number
  /** Grows at each change made through this wrapper: what an iterator has fetched is old then. */
  writes: number
}

/** Gives the object back that it is given: what a subclass adds is added to that one. */
// eslint-disable-next-line @typescript-eslint/no-extraneous-class -- its constructor is all that it is for
export class Given {
  constructor(object: object) {
    return object
  }
}

// A private field on the wrapper itself: a WeakMap of millions of wrappers costs the garbage collector 1.5 µs each,
// this 0.13 µs. Two classes, for a lookup on a Proxy takes 50 ns and one on an ordinary object 2, if they do not mix. The
// field has its value from its definition: on a Proxy, whose properties are a hash table, the engine makes two slow calls
// of a definition and an assignment (65 ns).

/** What stands behind the wrapper that is being tied. */
let stamp: Target | undefined

class Stamped extends Given {
  readonly #target = stamp
  // said: the engine's own goes by the iterator of arrays, which a program may have broken
  // eslint-disable-next-line @typescript-eslint/no-useless-constructor
  constructor(wrapper: object) {
    super(wrapper)
  }
  static of(value: object): Target | undefined {
    return #target in value ? value.#target : undefined
  }
}

class StampedProxy extends Given {
  readonly #target = stamp
  // said: the engine's own goes by the iterator of arrays, which a program may have broken
  // eslint-disable-next-line @typescript-eslint/no-useless-constructor
  constructor(wrapper: object) {
    super(wrapper)
  }
  static of(value: object): Target | undefined {
    return #target in value ? value.#target : undefined
  }
}

/** Shared ArrayBuffers and the views that stand for stored ones. */
const bytes = new WeakMap<object, Target>()

/** Ties a wrapper to what stands behind it. */
export function tie(wrapper: object, target: Target): void {
  stamp = target
  if (target.proxied) new StampedProxy(wrapper)
  else if (target.tag === Tag.BUFFER || target.tag === Tag.VIEW) bytes.set(wrapper, target)
  else new Stamped(wrapper)
  stamp = undefined
}

/** What stands behind a live object or a shared ArrayBuffer; undefined for anything else. Runs no traps. */
export function targetOf(value: object): Target | undefined {
  return StampedProxy.of(value) ?? Stamped.of(value) ?? bytes.get(value)
}

/** What stands behind a SharedMap, a SharedSet or an instance of a struct; undefined for anything else. */
export function ordinaryTargetOf(value: object): Target | undefined {
  return Stamped.of(value)
}

/** What stands behind a shared record (but of a struct) or array; undefined for anything else. */
export function proxyTargetOf(value: object): Target | undefined {
  return StampedProxy.of(value)
}

/** What a live object is called in messages. */
export function tagName(tag: number): string {
  switch (tag) {
    case Tag.ARRAY:
      return 'shared array'
    case Tag.MAP:
      return 'SharedMap'
    case Tag.SET:
      return 'SharedSet'
    case Tag.BUFFER:
    case Tag.VIEW:
      return 'shared bytes'
    default:
      return 'shared object'
  }
}

/** True if the value is a live object of an open or closed heap, or a view of shared bytes. Never blocks. */
export function isShared(value: unknown): boolean {
  if (value === null || typeof value !== 'object') return false
  return targetOf(value) !== undefined || (ArrayBuffer.isView(value) && bytes.has(value.buffer))
}
