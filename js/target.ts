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
  /** Serial of the last attempt of a transaction that holds the wrapper. */
  mark: number
  /** Grows at each change made through this wrapper: what an iterator has fetched is old then. */
  writes: number
}

/** From a wrapper (or a shared ArrayBuffer) to what stands behind it. */
export const targets = new WeakMap<object, Target>()

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
  return targets.has(value) || (ArrayBuffer.isView(value) && targets.has(value.buffer))
}
