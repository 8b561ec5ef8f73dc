/**
 * Sizes, names and numbers that users give, checked before the native side sees them.
 */
import { outOfRange, wrongType } from './errors.js'

/** Bytes: a whole number, or a string such as `'64MiB'`, `'1GiB'`, `'500KB'`, `'4096'`. */
export type Size = number | string

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** The smallest `maxSize`: 1 MiB. */
export const SMALLEST = 2 ** 20
/** The largest `maxSize`: 64 GiB, what the read-only windows reach. */
export const LARGEST = 64 * 2 ** 30

/**
 * The bytes that a size says.
 * @param what the name of the argument, for the error
 * @throws ERR_COHEAP_INVALID_ARGUMENT
 */
export function bytes(size: unknown, what: string): number {
  if (typeof size === 'number') {
    if (!Number.isSafeInteger(size) || size < 0) throw outOfRange(`${what} is not a whole number of bytes: ${size}`)
    return size
  }
  if (typeof size !== 'string') throw wrongType(`${what} must be a number of bytes or a string such as '64MiB'`)
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(size)
  const unit = match === null ? undefined : UNITS[match[2].toUpperCase()]
  if (match === null || unit === undefined) throw outOfRange(`${what} is not a size: ${JSON.stringify(size)}`)
  const n = Math.floor(Number(match[1]) * unit)
  if (!Number.isSafeInteger(n)) throw outOfRange(`${what} is too large: ${size}`)
  return n
}

/** A whole number from `least` to `most`, or `otherwise` if it is absent. */
export function whole(value: unknown, what: string, least: number, most: number, otherwise: number): number {
  if (value === undefined) return otherwise
  if (typeof value !== 'number') throw wrongType(`${what} must be a number`)
  if (!Number.isInteger(value) || value < least || value > most) {
    throw outOfRange(`${what} must be a whole number from ${least} to ${most}: ${value}`)
  }
  return value
}

/** Milliseconds: a number that is not negative (Infinity allowed), or `otherwise` if it is absent. */
export function milliseconds(value: unknown, what: string, otherwise: number): number {
  if (value === undefined) return otherwise
  if (typeof value !== 'number') throw wrongType(`${what} must be a number of milliseconds`)
  if (!(value >= 0)) throw outOfRange(`${what} must not be negative: ${value}`)
  return value
}

/** A boolean, or `otherwise` if it is absent. */
export function flag(value: unknown, what: string, otherwise: boolean): boolean {
  if (value === undefined) return otherwise
  if (typeof value !== 'boolean') throw wrongType(`${what} must be true or false`)
  return value
}

/** A name of a heap or a channel: 1 to 64 of `A–Z a–z 0–9 . _ -`, not starting with a dot. */
export function checkedName(name: unknown, what: string): string {
  if (typeof name !== 'string') throw wrongType(`${what} must be a string`)
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(name)) {
    throw outOfRange(`${what} must be 1 to 64 of A-Z a-z 0-9 . _ - and not start with a dot: ${JSON.stringify(name)}`)
  }
  return name
}

/** A folder, or null if it is absent: the system's. */
export function folder(dir: unknown): string | null {
  if (dir === undefined || dir === null) return null
  if (typeof dir !== 'string' || dir === '' || dir.includes('\0')) throw wrongType('dir must be a path')
  return dir
}

/** An options object, or an empty one if it is absent. */
export function optionsOf<T extends object>(options: T | undefined, what = 'options'): Partial<T> {
  if (options === undefined) return {}

  if (options === null || typeof options !== 'object') throw wrongType(`${what} must be an object`)
  return options
}
