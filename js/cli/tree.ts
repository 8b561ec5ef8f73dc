/**
 * Values as a tree of lines. Others may change them meanwhile: every line shows what was there when it was read.
 */
import { inspect, types } from 'node:util'
import { CoheapError } from '../errors.js'
import { isShared } from '../target.js'
import { SharedMap } from '../map.js'
import { SharedSet } from '../set.js'
import { fieldsOf } from '../struct.js'
import { size } from './figures.js'

/** How much is shown. */
interface Limits {
  /** Levels. */
  depth: number
  /** Members of each object. */
  most: number
}

interface Member {
  label: string
  read: () => unknown
}

/** Longer arrays are not asked for all their keys. */
const LONG = 1_000_000
const LONGEST_TEXT = 200

/** The lines; `path` is what the value is called. */
export function* tree(value: unknown, path: string, limits: Limits): Generator<string> {
  const lines = walk({ label: path, read: () => value }, '', '', limits.depth, limits, new Map(), path)
  for (const line of lines) yield printable(line)
}

/** What a terminal would obey (controls, also those of Latin-1, and changes of direction), and line ends, as escapes. */
function printable(line: string): string {
  return line.replace(/[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

function* walk(
  member: Member,
  first: string,
  indent: string,
  depth: number,
  limits: Limits,
  above: Map<object, string>,
  path: string,
): Generator<string> {
  const read = attempt(() => {
    const value = member.read()
    return { value, text: describe(value) }
  })
  if (typeof read === 'string') {
    yield `${first}${member.label}: ${read}`
    return
  }
  const { value, text } = read
  const container = isContainer(value)
  const seen = container ? above.get(value) : undefined
  yield `${first}${member.label}: ${text}${seen === undefined ? '' : ` → ${seen}`}`
  if (!container || seen !== undefined || depth === 0) return
  above.set(value, path)
  const members = attempt(() => membersOf(value, limits.most))
  if (typeof members === 'string') {
    yield `${indent}└─ ${members}`
    return
  }
  const { shown, left } = members
  for (const [i, each] of shown.entries()) {
    const last = i === shown.length - 1 && left === 0
    yield* walk(
      each,
      indent + (last ? '└─ ' : '├─ '),
      indent + (last ? '   ' : '│  '),
      depth - 1,
      limits,
      above,
      `${path} › ${each.label}`,
    )
  }
  if (left > 0) yield `${indent}└─ … ${left} more`
}

/** What `f` gives, or a word in place of what cannot be read. */
function attempt<T extends object>(f: () => T): T | string {
  try {
    return f()
  } catch (error) {
    if (!(error instanceof CoheapError)) throw error
    return error.code === 'ERR_COHEAP_DESTROYED' ? '[destroyed]' : `[${error.code}: ${error.message}]`
  }
}

function isContainer(value: unknown): value is object {
  if (value === null || typeof value !== 'object') return false
  if (value instanceof SharedMap || value instanceof SharedSet || Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || isInstance(value)
}

/** An instance of a class, which need not be registered here. */
function isInstance(value: object): boolean {
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return false
  return isShared(value) || fieldsOf(value) !== undefined || (types.isProxy(value) && Object.isFrozen(value))
}

function nameOf(value: object): string {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || prototype === Object.prototype ? 'object' : prototype.constructor.name
}

function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}

function quoted(text: string): string {
  if (text.length <= LONGEST_TEXT) return JSON.stringify(text)
  return `${JSON.stringify(text.slice(0, LONGEST_TEXT))}… ${counted(text.length, 'character')}`
}

/** On one line, and not too long a one. */
function short(text: string): string {
  const line = text.replace(/\s*\n\s*/g, ' ')
  return line.length <= LONGEST_TEXT ? line : `${line.slice(0, LONGEST_TEXT)}… ${counted(line.length, 'character')}`
}

function describe(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'bigint') return short(`${value}n`)
  if (typeof value === 'symbol') return short(String(value))
  if (value === null || typeof value !== 'object') return inspect(value)
  if (value instanceof Error) return short(String(value))
  if (value instanceof SharedMap) return `Map, ${counted(value.size, 'entry', 'entries')}`
  if (value instanceof SharedSet) return `Set, ${counted(value.size, 'value')}`
  if (types.isTypedArray(value)) {
    const name = Buffer.isBuffer(value) ? 'Buffer' : value[Symbol.toStringTag]
    return `${name}, ${counted(value.length, 'element')}, ${size(value.byteLength)}`
  }
  if (types.isAnyArrayBuffer(value)) return `ArrayBuffer, ${size(value.byteLength)}`
  if (types.isDataView(value)) return `DataView, ${size(value.byteLength)}`
  const frozen = Object.isFrozen(value) ? 'frozen ' : ''
  if (Array.isArray(value)) return `${frozen}array, ${counted(value.length, 'element')}`
  if (isContainer(value)) return `${frozen}${nameOf(value)}, ${counted(keysOf(value).length, 'key')}`
  // a Date, an Error and the like: a copy
  return short(inspect(value, { depth: 0, breakLength: Infinity }))
}

/** The own keys of an object; the fields of a struct. */
function keysOf(value: object): readonly (string | symbol)[] {
  return fieldsOf(value) ?? Reflect.ownKeys(value)
}

function membersOf(value: object, most: number): { shown: Member[]; left: number } {
  if (value instanceof SharedMap) {
    const shown = firstOf(value.entries(), most).map(([key, member]) => ({
      label: attemptText(key),
      read: () => member as unknown,
    }))
    return { shown, left: Math.max(0, value.size - shown.length) }
  }
  if (value instanceof SharedSet) {
    const shown = firstOf(value.values(), most).map((member, i) => ({
      label: String(i),
      read: () => member as unknown,
    }))
    return { shown, left: Math.max(0, value.size - shown.length) }
  }
  const property = (key: string | symbol) => ({
    label: typeof key === 'symbol' ? short(String(key)) : /^[\w$-]{1,200}$/.test(key) ? key : quoted(key),
    read: () => Reflect.get(value, key) as unknown,
  })
  if (Array.isArray(value) && value.length > LONG) {
    const shown = Array.from({ length: most }, (_, i) => String(i)).filter((i) => Object.hasOwn(value, i))
    return { shown: shown.map(property), left: value.length - most }
  }
  const keys = keysOf(value).filter((key) => !Array.isArray(value) || key !== 'length')
  return { shown: keys.slice(0, most).map(property), left: Math.max(0, keys.length - most) }
}

function attemptText(key: unknown): string {
  const read = attempt(() => ({ text: describe(key) }))
  return typeof read === 'string' ? read : read.text
}

function firstOf<T>(iterator: Iterator<T>, most: number): T[] {
  const found: T[] = []
  while (found.length < most) {
    const next = iterator.next()
    if (next.done === true) break
    found.push(next.value)
  }
  return found
}
