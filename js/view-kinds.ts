/**
 * The kinds of views over bytes, by their number in the wire format and in the segment. Whether something is bytes is never
 * asked by `instanceof`: they may be of another context (`node:vm`, Jest), and what the native side makes always is.
 */
import { types } from 'node:util'

/** A typed array of any kind. */
export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array

type ViewClass = new (buffer: ArrayBuffer, byteOffset: number, length: number) => ArrayBufferView

const Float16 = (globalThis as { Float16Array?: ViewClass & { BYTES_PER_ELEMENT: number } }).Float16Array

/** The number of Node's `Buffer`. */
export const BUFFER_KIND = 12
const FLOAT16_KIND = 13

/** Constructors by number; Node's `Buffer` (12) is made another way, `Float16Array` (13) only exists from Node 24 on. */
const CLASSES: readonly (ViewClass | undefined)[] = [
  DataView,
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  undefined,
  Float16,
]

const NAMES = [
  'DataView',
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'Buffer',
  'Float16Array',
]

const tagOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!
  .get as () => string | undefined

/** The kind of a view; -1 for a subclass that is not known. */
export function kindOf(view: ArrayBufferView): number {
  const proto = Object.getPrototypeOf(view) as object
  if (proto === Buffer.prototype) return BUFFER_KIND
  const name = tagOf.call(view) ?? 'DataView'
  const kind = NAMES.indexOf(name)
  const Class = CLASSES[kind]
  if (Class === undefined) return -1
  if (proto === Class.prototype) return kind
  // the same class of another context has the built-in name and stands at the built-in depth
  const depth = name === 'DataView' ? 2 : 3
  return classNameAt(proto, depth) === name ? kind : -1
}

/** The name of the class of a prototype, if it stands at this depth above null; else undefined. */
export function classNameAt(proto: object, depth: number): string | undefined {
  let p: object | null = proto
  for (let i = 0; i < depth; i++) {
    if (p === null) return undefined
    p = Object.getPrototypeOf(p) as object | null
  }
  if (p !== null) return undefined
  const constructor = Object.getOwnPropertyDescriptor(proto, 'constructor')?.value as unknown
  return typeof constructor === 'function' ? constructor.name : undefined
}

/** The length of a view in its elements (bytes for a DataView). */
export function lengthOf(view: ArrayBufferView): number {
  return types.isDataView(view) ? view.byteLength : (view as TypedArray).length
}

const keysOf = Uint8Array.prototype.keys

/** False if its buffer is detached, or resized to end before the view does. */
export function hasBytes(view: ArrayBufferView): boolean {
  try {
    // each throws for such a view; a typed array's `length` and `byteOffset` would be 0
    if (types.isDataView(view)) return view.byteLength >= 0
    keysOf.call(view as Uint8Array)
    return true
  } catch {
    return false
  }
}

/** The number of a typed array's class, for `alloc`; -1 if it is none. */
export function kindOfClass(Class: unknown): number {
  if (Class === Buffer) return BUFFER_KIND
  // there is no class in the places of those that are made another way, or not at all
  const kind = Class === undefined ? -1 : CLASSES.indexOf(Class as ViewClass)
  return kind > 0 ? kind : -1
}

/**
 * Whether a view of this kind can stand there. What a segment says of a view and of its buffer stands in two objects, and may
 * be damaged.
 */
export function fits(kind: number, buffer: unknown, byteOffset: number, length: number): boolean {
  if (!types.isArrayBuffer(buffer)) return false
  const element = (CLASSES[kind] as { BYTES_PER_ELEMENT?: number } | undefined)?.BYTES_PER_ELEMENT ?? 1
  return byteOffset % element === 0 && byteOffset + length * element <= buffer.byteLength
}

/** A view of this kind; undefined where this runtime has no such class. */
export function makeView(
  kind: number,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): ArrayBufferView | undefined {
  if (kind === BUFFER_KIND) return Buffer.from(buffer, byteOffset, length)
  const Class = CLASSES[kind]
  return Class === undefined ? undefined : new Class(buffer, byteOffset, length)
}

/** The name of a kind, for messages. */
export function kindName(kind: number): string {
  return NAMES[kind] ?? (kind === FLOAT16_KIND ? 'Float16Array' : 'view')
}
