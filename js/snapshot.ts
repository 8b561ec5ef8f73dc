/**
 * {@link snapshot}: a deep plain copy.
 */
import { types } from 'node:util'
import { ClassInfo, registeredAt } from './classes.js'
import { errorKind } from './classify.js'
import { bareError } from './error-parts.js'
import type { SharedMap } from './map.js'
import type { SharedSet } from './set.js'
import type { Attachment } from './attachment.js'
import { makeLocal, noValues, valuesOf } from './struct.js'
import { Tag } from './port.js'
import { append, dataProperty, ownOnly } from './property.js'
import { targetOf, type Target } from './target.js'
import type { Whole } from './types.js'
import { ERROR_KINDS } from './wire.js'
import { kindOf, lengthOf, makeView } from './view-kinds.js'

/** What a live value is as a plain one: {@link SharedMap} and {@link SharedSet} become `Map` and `Set`. */
export type Plain<T> = 0 extends 1 & T
  ? T
  : T extends SharedMap<infer K, infer V>
    ? Map<Plain<K>, Plain<V>>
    : T extends SharedSet<infer U>
      ? Set<Plain<U>>
      : T extends Whole | ArrayBuffer | ArrayBufferView | ((...args: never[]) => unknown)
        ? T
        : T extends object
          ? { [P in keyof T]: Plain<T[P]> }
          : T

/**
 * A deep plain copy of a live object: plain objects, arrays, `Map`, `Set`, typed arrays of their own; instances of
 * classes that are registered in this thread stay instances, others become plain objects. It is consistent:
 * one transaction, or part of the running one. A primitive is itself. Blocks no longer than a read does.
 * @throws ERR_COHEAP_DESTROYED if a member is gone
 */
export function snapshot<T>(value: T): Plain<T>
export function snapshot(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  const target = targetOf(value)
  if (target !== undefined) return ofLive(target)
  return new Copier().copy(value)
}

function ofLive(t: Target): unknown {
  const a = t.attachment
  a.use(t)
  if (t.tag === Tag.BUFFER || t.tag === Tag.VIEW) return ofBytes(t.self as ArrayBuffer | ArrayBufferView)
  a.port.snapshot(t.h)
  return a.decodePlain()
}

function ofBytes(bytes: ArrayBuffer | ArrayBufferView): object {
  if (!ArrayBuffer.isView(bytes)) return bytes.slice(0)
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
  return makeView(kindOf(bytes), copy, 0, lengthOf(bytes)) ?? copy
}

/** What a plain object refers to; nothing for what is no container. */
function membersOf(value: object): unknown[] {
  if (types.isMap(value)) return [...value.keys(), ...value.values()] as unknown[]
  if (types.isSet(value)) return [...value] as unknown[]
  const own = valuesOf(value) ?? value
  return own === value && !isContainer(value) && !isError(value)
    ? []
    : Reflect.ownKeys(own).map((key) => (key === 'stack' ? undefined : (own as Record<string | symbol, unknown>)[key]))
}

/** An error of a built-in kind, as those that are stored come back; of other classes who knows what belongs to them. */
function isError(value: object): value is Error {
  return types.isNativeError(value) && ERROR_KINDS.some((Class) => Class.prototype === Object.getPrototypeOf(value))
}

function isContainer(value: object): boolean {
  const proto = Object.getPrototypeOf(value) as object | null
  if (Array.isArray(value) || proto === Object.prototype || proto === null) return true
  return registeredAt(proto) instanceof ClassInfo
}

/**
 * Copies what is not live itself, keeping cycles. The live objects that it leads to are copied before, those of a heap
 * together: of one moment, and with what they have in common.
 */
class Copier {
  private readonly copies = new Map<object, object>()
  private readonly todo: (() => void)[] = []
  private readonly frozen: object[] = []

  copy(value: object): unknown {
    this.copyLive(value)
    const result = this.one(value)
    for (let next = this.todo.pop(); next !== undefined; next = this.todo.pop()) next()
    this.frozen.forEach((copy) => Object.freeze(copy))
    return result
  }

  private copyLive(root: object): void {
    const live = new Map<Attachment, Target[]>()
    const seen = new Set<object>([root])
    seen.forEach((value) => {
      const target = targetOf(value)
      if (target === undefined) {
        membersOf(value).forEach((member) => {
          if (member !== null && typeof member === 'object') seen.add(member)
        })
      } else {
        const targets = live.get(target.attachment)
        if (targets === undefined) live.set(target.attachment, [target])
        else append(targets, target)
      }
    })
    live.forEach((targets, a) => {
      const plain = a.plainOf(targets)
      targets.forEach((target, i) => this.copies.set(target.self, plain[i] as object))
    })
  }

  private one(value: unknown): unknown {
    if (value === null || typeof value !== 'object') return value
    const known = this.copies.get(value)
    if (known !== undefined) return known
    const copy = this.start(value)
    this.copies.set(value, copy)
    return copy
  }

  private members(value: object, copy: object): void {
    Reflect.ownKeys(value).forEach((key) => {
      if (key === 'length' && Array.isArray(value)) return
      const member = this.one((value as Record<string | symbol, unknown>)[key])
      Object.defineProperty(copy, key, dataProperty(member))
    })
  }

  private start(value: object): object {
    if (ArrayBuffer.isView(value)) return ofBytes(value)
    if (types.isMap(value)) {
      const map = new Map()
      append(this.todo, () => value.forEach((v, k) => map.set(this.one(k), this.one(v))))
      return map
    }
    if (types.isSet(value)) {
      const set = new Set()
      append(this.todo, () => value.forEach((v) => set.add(this.one(v))))
      return set
    }
    const fields = valuesOf(value)
    if (fields !== undefined) {
      const values = noValues()
      const info = registeredAt(Object.getPrototypeOf(value) as object) as ClassInfo
      const instance = makeLocal(info, values)
      if (Object.isFrozen(value)) append(this.frozen, instance)
      append(this.todo, () => this.members(fields, values))
      return instance
    }
    if (isError(value)) return this.error(value)
    if (!isContainer(value)) return value
    const copy = (
      Array.isArray(value) ? new Array(value.length) : Object.create(Object.getPrototypeOf(value) as object)
    ) as object
    if (Object.isFrozen(value)) append(this.frozen, copy)
    append(this.todo, () => this.members(value, copy))
    return copy
  }

  private error(value: Error): Error {
    const copy = bareError(ERROR_KINDS[errorKind(value)])
    Reflect.ownKeys(copy).forEach((key) => delete (copy as unknown as Record<string | symbol, unknown>)[key])
    append(this.todo, () => {
      Reflect.ownKeys(value).forEach((key) => {
        const member = this.one((value as unknown as Record<string | symbol, unknown>)[key])
        const enumerable = Object.prototype.propertyIsEnumerable.call(value, key)
        Object.defineProperty(copy, key, ownOnly({ value: member, writable: true, enumerable, configurable: true }))
      })
    })
    if (Object.isFrozen(value)) append(this.frozen, copy)
    return copy
  }
}
