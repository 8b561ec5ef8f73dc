/**
 * What a stored value is when it is read back, as types.
 */
import type { SharedMap } from './map.js'
import type { SharedSet } from './set.js'

/**
 * The types that codecs make, under any names: to be added to, so that {@link Shared} and {@link Plain} leave them as
 * they are instead of going into their members.
 * @example
 * declare module 'coheap' {
 *   interface CodecTypes {
 *     decimal: Decimal
 *   }
 * }
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- it is for others to fill
export interface CodecTypes {}

/** What has no members to map, live or plain: primitives, what is stored by value as a whole, what codecs make. */
export type Whole =
  // eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents -- programs add to it
  | CodecTypes[keyof CodecTypes]
  | string
  | number
  | boolean
  | bigint
  | symbol
  | null
  | undefined
  | Date
  | RegExp
  | Error
  | URL

/** What is read back as what it was, and has no members of its own to map. */
type Same = Whole | ArrayBuffer | ArrayBufferView | SharedMap<never, never> | SharedSet<never>

/**
 * The live version of a value: maps and sets become {@link SharedMap} and {@link SharedSet}, at any depth; everything
 * else keeps its type.
 */
export type Shared<T> = 0 extends 1 & T
  ? T
  : T extends Same
    ? T
    : T extends SharedMap<infer _K, infer _V>
      ? T
      : T extends SharedSet<infer _T>
        ? T
        : T extends ReadonlyMap<infer K, infer V>
          ? SharedMap<Shared<K>, Shared<V>>
          : T extends ReadonlySet<infer U>
            ? SharedSet<Shared<U>>
            : T extends (...args: never[]) => unknown
              ? T
              : T extends object
                ? { [P in keyof T]: Shared<T[P]> }
                : T
