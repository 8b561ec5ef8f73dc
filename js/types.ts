/**
 * What a stored value is when it is read back, as types.
 */
import type { SharedMap } from './map.js'
import type { SharedSet } from './set.js'

type Same =
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
  | ArrayBuffer
  | ArrayBufferView
  | SharedMap<never, never>
  | SharedSet<never>

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
