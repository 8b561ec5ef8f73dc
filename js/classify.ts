/**
 * What the encoder wants to know of an object before it writes it: which built-in class it is of, in this context or
 * another, and how places and refused things are called in messages.
 */
import { types } from 'node:util'
import { ERROR_KINDS } from './wire.js'
import { classNameAt } from './view-kinds.js'

const identifier = /^[A-Za-z_$][\w$]*$/
const descriptor = Object.getOwnPropertyDescriptor
const prototypeOf = Object.getPrototypeOf as (o: object) => object | null
const isArray = Array.isArray
const sourceOf = Function.prototype.toString

/** The step of a path to a property. */
export function keySegment(key: string | symbol): string {
  if (typeof key === 'symbol') return `[${String(key)}]`
  if (identifier.test(key)) return `.${key}`
  return isIndex(key) ? `[${key}]` : `[${JSON.stringify(key)}]`
}

/** True for the canonical string of an array index. */
export function isIndex(key: string): boolean {
  const c = key.charCodeAt(0)
  if (!(c >= 48 && c <= 57)) return false
  const n = Number(key) >>> 0
  return n !== 2 ** 32 - 1 && String(n) === key
}

/** True for a Proxy that has been revoked, or is over one. */
export function isRevoked(proxy: object): boolean {
  try {
    isArray(proxy)
    return false
  } catch {
    return true
  }
}

/** True for an array that is no instance of a subclass. */
export function isPlainArray(value: readonly unknown[]): boolean {
  const proto = prototypeOf(value)
  return proto === Array.prototype || (proto !== null && isArray(proto) && classNameAt(proto, 2) === 'Array')
}

/** True if this is the prototype of the built-in class, of this context or another. */
export function isOf(
  proto: object,
  Class: { readonly prototype: object; readonly name: string },
  depth: number,
): boolean {
  return proto === Class.prototype || classNameAt(proto, depth) === Class.name
}

/** The nearest built-in kind of an error, of this context or another. */
export function errorKind(error: Error): number {
  for (let p: object | null = prototypeOf(error); p !== null; p = prototypeOf(p)) {
    const constructor = descriptor(p, 'constructor')?.value as unknown
    if (typeof constructor !== 'function') continue
    const own = ERROR_KINDS.findIndex((Class) => Class === constructor)
    if (own >= 0) return own
    // a class of a program's own may have the name of a built-in one too
    const other = ERROR_KINDS.findIndex((Class) => Class.name === constructor.name)
    if (other >= 0 && sourceOf.call(constructor).includes('[native code]')) return other
  }
  return 0
}

/** The primitive in a boxed one. */
export function unboxed(value: object): unknown {
  if (types.isNumberObject(value)) return Number.prototype.valueOf.call(value)
  if (types.isStringObject(value)) return String.prototype.valueOf.call(value)
  if (types.isBooleanObject(value)) return Boolean.prototype.valueOf.call(value)
  if (types.isBigIntObject(value)) return BigInt.prototype.valueOf.call(value)
  return Symbol.prototype.valueOf.call(value)
}

/** What a refused object is called in the message. */
export function described(value: object, proto: object): string {
  if (types.isPromise(value)) return 'a Promise'
  if (types.isSharedArrayBuffer(value)) return 'a SharedArrayBuffer'
  const constructor = descriptor(proto, 'constructor')?.value as unknown
  if (typeof constructor === 'function' && constructor.name !== '') {
    const builtIn = (globalThis as Record<string, unknown>)[constructor.name] === constructor
    const article = /^[AEIOU]/.test(constructor.name) ? 'an' : 'a'
    return builtIn
      ? `${article} ${constructor.name}`
      : `an instance of the class ${constructor.name}, which is not registered,`
  }
  return 'an object with a prototype of its own'
}
