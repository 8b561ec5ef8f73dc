/**
 * The wire format into JavaScript values: scalars, by-value objects, plain containers (of a snapshot), and live
 * objects by their handles. Iterative, as the encoder is. Runs no code of the user's but the `decode` of codecs.
 */
import { classNamed, codecNamed, notRegistered, unregistered, type CodecInfo } from './classes.js'
import { CoheapError, fail } from './errors.js'
import { standIn } from './stand-in.js'
import { bareError } from './error-parts.js'
import { ERROR_KINDS, ErrorField, ObjectFlag, Packed, Reader, Wire } from './wire.js'
import { kindName, makeView } from './view-kinds.js'
import { MOST_SHAPE_KEYS, isFlat, readMembers } from './flat.js'
import { append, dataProperty, descriptor, setNew } from './property.js'
import { makeLocal, noValues } from './struct.js'

/** The wrapper of a live object of this thread, by its handle. */
export type Lookup = (handle: number) => unknown

/** Runs the `decode` of a codec; what it reads meanwhile must not disturb this reading. */
export type RunCodec = (codec: CodecInfo, stored: unknown) => unknown

/** The keys of a shape; undefined if there is no such. May move what is being read: {@link Reader.detach}. */
export type KeysOf = (shape: number) => readonly string[] | undefined

const OBJECT = 0
const ARRAY = 1
const ARRAY_EXTRA = 2
const MAP = 3
const SET = 4
const VIEW = 5
const REFERENCES = 6
const ERROR = 7
const ERROR_OWN = 8

/** A container whose members are being read. */
interface Frame {
  kind: number
  target: object
  /** What is handed on when it is done: the target, or what stands for it outside. */
  result: object
  i: number
  n: number
  key: unknown
  /** OBJECT like another: the keys. VIEW: kind, offset, length. REFERENCES: what, and the values so far. ERROR: the fields. */
  extra: unknown
}

/** A hole, where one is asked for as such ({@link Decoder.valueOrHole}). */
export const HOLE = Symbol('hole')
const PENDING = Symbol('pending')

/** Reads values; see the head of this file. */
export class Decoder {
  readonly reader: Reader
  private lookup: Lookup
  private readonly runCodec: RunCodec
  private readonly shapeKeys: KeysOf
  private readonly content: boolean
  /** The shape of the flat object that was read last, and its keys: the next one is likely to have the same. */
  private lastShape = 0
  private lastKeys: readonly string[] = []
  private frames: Frame[] = []
  private seen: object[] = []
  /** Content mode: the keys of the objects, for tag 21; and what is to be frozen at the end. */
  private keysOf: (readonly (string | symbol)[] | undefined)[] = []
  private nameOf: (string | undefined)[] = []
  private frozen: object[] = []
  private inner: Decoder | undefined
  /** Frozen values are frozen objects and no Proxies: for snapshots, which go through `structuredClone`. */
  bare = false

  constructor(reader: Reader, lookup: Lookup, runCodec: RunCodec, shapeKeys: KeysOf, content = false) {
    this.reader = reader
    this.lookup = lookup
    this.runCodec = runCodec
    this.shapeKeys = shapeKeys
    this.content = content
  }

  /** Forgets the containers seen: the next value is a new one. */
  reset(): void {
    if (this.seen.length > 0) this.seen = []
    if (this.frames.length > 0) this.frames = []
  }

  /** One value. Several calls without {@link reset} between them read one value as to cycles and aliasing. */
  value(): unknown {
    const v = this.head()
    if (v !== PENDING) return v === HOLE ? undefined : v
    return this.run()
  }

  /** One value, or {@link HOLE}. */
  valueOrHole(): unknown {
    const v = this.head()
    return v === PENDING ? this.run() : v
  }

  private run(): unknown {
    const frames = this.frames
    let done: unknown
    while (frames.length > 0) {
      done = this.step(frames[frames.length - 1])
      if (done === PENDING) continue
      frames.pop()
      const parent = frames[frames.length - 1]
      if (parent !== undefined) this.accept(parent, done)
    }
    return done
  }

  /** A scalar, or the head of a container: PENDING then, and its frame is on the stack. */
  private head(): unknown {
    const r = this.reader
    const tag = r.tag()
    switch (tag) {
      case Wire.UNDEFINED:
        return undefined
      case Wire.NULL:
        return null
      case Wire.FALSE:
        return false
      case Wire.TRUE:
        return true
      case Wire.HOLE:
        return HOLE
      case Wire.F64:
        return r.f64()
      case Wire.I32:
        return r.i32()
      case Wire.LATIN1:
        return r.latin1()
      case Wire.UTF16:
        return r.utf16()
      case Wire.BIGINT:
        return r.bigint()
      case Wire.SYMBOL:
        return Symbol.for(r.text())
      case Wire.OBJECT: {
        const id = r.u32()
        const flags = r.tag()
        const name = (flags & ObjectFlag.INSTANCE) !== 0 ? r.text() : undefined
        const count = r.u32()
        const target = this.object(name, (flags & ObjectFlag.NULL_PROTOTYPE) !== 0, count)
        if (this.content) {
          setNew(this.keysOf, id, [])
          setNew(this.nameOf, id, name)
        }
        const result = this.container(id, target, name)
        return this.push(OBJECT, target, count, this.content ? this.keysOf[id] : undefined, undefined, result)
      }
      case Wire.LIKE: {
        const id = r.u32()
        const like = r.u32()
        const keys = this.keysOf[like]
        const name = this.nameOf[like]
        if (keys === undefined) throw corrupt()
        const target = this.object(name, false, keys.length)
        const result = this.container(id, target, name)
        return this.push(OBJECT, target, keys.length, undefined, keys, result)
      }
      case Wire.ARRAY: {
        const target: unknown[] = []
        const result = this.container(r.u32(), target)
        const length = r.u32()
        const elements = r.u32()
        if (elements < length) target.length = length
        return this.push(ARRAY, target, elements, undefined, undefined, result)
      }
      case Wire.MAP: {
        const target = new Map()
        setNew<object>(this.seen, r.u32(), target)
        return this.push(MAP, target, 2 * r.u32(), undefined)
      }
      case Wire.SET: {
        const target = new Set()
        setNew<object>(this.seen, r.u32(), target)
        return this.push(SET, target, r.u32(), undefined)
      }
      case Wire.BUFFER: {
        const id = r.u32()
        const bytes = r.bytes(r.u64())
        setNew<object>(this.seen, id, bytes)
        return bytes
      }
      case Wire.VIEW: {
        const id = r.u32()
        const kind = r.tag()
        const offset = r.u64()
        return this.push(VIEW, nothing, 1, { id, kind, offset, length: r.u64() })
      }
      case Wire.BACK:
        return this.seen[r.u32()]
      case Wire.LIVE:
        return this.lookup(r.u32())
      case Wire.PACKED: {
        const what = r.tag()
        const n = r.u32()
        if (n === 0) return this.packed(what, none)
        return this.push(REFERENCES, nothing, n, { what, values: [] as unknown[] })
      }
      case Wire.ERROR: {
        const id = r.u32()
        const kind = r.tag()
        const has = r.tag()
        const Class = ERROR_KINDS[kind] ?? Error
        const error = bareError(Class)
        setNew<object>(this.seen, id, error)
        const fields: string[] = []
        if (has & ErrorField.NAME) append(fields, 'name')
        if (has & ErrorField.MESSAGE) append(fields, 'message')
        if (has & ErrorField.STACK) append(fields, 'stack')
        if (has & ErrorField.CAUSE) append(fields, 'cause')
        if (has & ErrorField.ERRORS) append(fields, 'errors')
        return this.push(ERROR, error, fields.length, { fields, shown: (has & ErrorField.NAME_SHOWN) !== 0 })
      }
      default:
        throw corrupt()
    }
  }

  private push(
    kind: number,
    target: object,
    n: number,
    extra: unknown,
    key?: unknown,
    result: object = target,
  ): typeof PENDING {
    append(this.frames, { kind, target, result, i: 0, n, key, extra })
    return PENDING
  }

  /** A plain object, or an instance of the class of this name: a plain object if that is not registered. */
  private object(name: string | undefined, nullPrototype: boolean, count: number): object {
    if (name === undefined) {
      if (nullPrototype) return Object.create(null) as object
      return count > MOST_SHAPE_KEYS ? table() : {}
    }
    const { prototype, layout } = classNamed(name)
    if (prototype === undefined) return {}
    return layout === undefined ? (Object.create(prototype) as object) : noValues()
  }

  /** Enters an object or array under its number. In content it is frozen: a Proxy tells who writes to it. */
  private container(id: number, target: object, name?: string): object {
    const info = name === undefined ? undefined : classNamed(name)
    if (info?.layout !== undefined && info.prototype !== undefined) {
      // the members are its fields; a write to a frozen one is refused by its accessors
      const instance = makeLocal(info, target as Record<string, unknown>)
      if (this.content) append(this.frozen, instance)
      return this.entered(id, instance)
    }
    if (this.content) append(this.frozen, target)
    if (this.bare) return this.entered(id, target)
    if (name !== undefined && info?.prototype === undefined) return this.entered(id, unread(name))
    return this.entered(id, this.content ? new Proxy(target, readOnly) : target)
  }

  private entered(id: number, container: object): object {
    setNew(this.seen, id, container)
    return container
  }

  /** Reads members until one is a container of its own (PENDING) or the container is done: the container. */
  private step(frame: Frame): unknown {
    const r = this.reader
    switch (frame.kind) {
      case OBJECT: {
        const target = frame.target as Record<string | symbol, unknown>
        const like = frame.key as readonly (string | symbol)[] | undefined
        const keys = frame.extra as (string | symbol)[] | undefined
        if (Array.isArray(like)) {
          while (frame.i < frame.n) {
            const v = this.head()
            if (v === PENDING) return PENDING
            define(target, like[frame.i++] as string | symbol, v)
          }
          return frame.result
        }
        while (frame.i < frame.n) {
          // the keys of a table are data: no two objects share them
          const key = frame.n > MOST_SHAPE_KEYS ? r.key() : r.name()
          if (keys !== undefined) append(keys, key)
          const v = this.head()
          if (v === PENDING) {
            frame.key = key
            return PENDING
          }
          frame.i++
          define(target, key, v)
        }
        return frame.result
      }
      case ARRAY: {
        const target = frame.target as unknown[]
        while (frame.i < frame.n) {
          const v = this.head()
          if (v === PENDING) return PENDING
          if (v === HOLE) target.length = Math.max(target.length, frame.i + 1)
          else setNew(target, frame.i, v)
          frame.i++
        }
        const extra = r.u32()
        if (extra === 0) return frame.result
        frame.kind = ARRAY_EXTRA
        frame.i = 0
        frame.n = extra
        return this.step(frame)
      }
      case ARRAY_EXTRA:
      case ERROR_OWN:
        while (frame.i < frame.n) {
          const key = r.key()
          const v = this.head()
          if (v === PENDING) {
            frame.key = key
            return PENDING
          }
          frame.i++
          define(frame.target as Record<string | symbol, unknown>, key, v)
        }
        return frame.result
      case MAP:
        while (frame.i < frame.n) {
          const v = this.head()
          if (v === PENDING) return PENDING
          this.entry(frame, v)
        }
        return frame.target
      case SET:
        while (frame.i < frame.n) {
          const v = this.head()
          if (v === PENDING) return PENDING
          frame.i++
          ;(frame.target as Set<unknown>).add(v)
        }
        return frame.target
      case VIEW: {
        if (frame.i === 0) {
          const v = this.head()
          if (v === PENDING) return PENDING
          this.accept(frame, v)
        }
        return this.view(frame)
      }
      case REFERENCES: {
        const { what, values } = frame.extra as { what: number; values: unknown[] }
        while (frame.i < frame.n) {
          const v = this.head()
          if (v === PENDING) return PENDING
          frame.i++
          append(values, v)
        }
        return this.packed(what, values)
      }
      default: {
        const { fields, shown } = frame.extra as { fields: string[]; shown: boolean }
        while (frame.i < frame.n) {
          const v = this.head()
          if (v === PENDING) return PENDING
          this.errorField(frame.target, fields[frame.i++], v, shown)
        }
        frame.kind = ERROR_OWN
        frame.i = 0
        frame.n = r.u32()
        return this.step(frame)
      }
    }
  }

  /** A member container is done. */
  private accept(frame: Frame, value: unknown): void {
    switch (frame.kind) {
      case OBJECT: {
        const like = frame.key
        const key = Array.isArray(like) ? (like[frame.i] as string | symbol) : (like as string | symbol)
        define(frame.target as Record<string | symbol, unknown>, key, value)
        break
      }
      case ARRAY_EXTRA:
      case ERROR_OWN:
        define(frame.target as Record<string | symbol, unknown>, frame.key as string | symbol, value)
        break
      case ARRAY:
        setNew(frame.target as unknown[], frame.i, value)
        break
      case MAP:
        return this.entry(frame, value)
      case SET:
        ;(frame.target as Set<unknown>).add(value)
        break
      case VIEW:
        frame.target = value as object
        break
      case REFERENCES:
        append((frame.extra as { values: unknown[] }).values, value)
        break
      default: {
        const { fields, shown } = frame.extra as { fields: string[]; shown: boolean }
        this.errorField(frame.target, fields[frame.i], value, shown)
      }
    }
    frame.i++
  }

  private entry(frame: Frame, value: unknown): void {
    if (frame.i % 2 === 0) frame.key = value
    else (frame.target as Map<unknown, unknown>).set(frame.key, value)
    frame.i++
  }

  private view(frame: Frame): object {
    const { id, kind, offset, length } = frame.extra as { id: number; kind: number; offset: number; length: number }
    const view = makeView(kind, frame.target as ArrayBuffer, offset, length)
    if (view === undefined) {
      throw fail('ERR_COHEAP_UNSUPPORTED_RUNTIME', `this version of Node.js has no ${kindName(kind)}`)
    }
    setNew<object>(this.seen, id, view)
    return view
  }

  /**
   * The references of a packed block have been read; its content follows. That stands in the heap as it is here, so
   * whatever it makes fail (a length beyond the end, a pattern that is none) is damage; but not what a codec throws.
   */
  private packed(what: number, references: readonly unknown[]): unknown {
    try {
      return this.unpack(what, references)
    } catch (error) {
      throw error instanceof CoheapError || error === thrownByCodec ? error : corrupt()
    }
  }

  private unpack(what: number, references: readonly unknown[]): unknown {
    const r = this.reader
    const end = r.u32() + r.pos
    let result: unknown
    if (isFlat(r, what, references.length)) {
      result = this.flat()
      if (r.pos !== end) throw corrupt()
      return result
    }
    switch (what) {
      case Packed.DATE:
        result = new Date(this.head() as number)
        break
      case Packed.REGEXP: {
        const source = r.text()
        result = new RegExp(source, r.text())
        break
      }
      case Packed.URL:
        result = new URL(r.text())
        break
      case Packed.BOXED:
        result = Object(this.head()) as object
        break
      case Packed.ERROR:
      case Packed.OBJECT:
      case Packed.ARRAY: {
        const inner = (this.inner ??= new Decoder(r, nowhere, this.runCodec, this.shapeKeys, true))
        this.inner = undefined
        inner.bare = this.bare
        result = inner.frozenValue(references)
        this.inner = inner
        break
      }
      case Packed.CODED:
        result = this.coded(references)
        break
      default:
        throw corrupt()
    }
    if (r.pos !== end) throw corrupt()
    return result
  }

  /** The value that a codec makes of what it has stored. */
  private coded(references: readonly unknown[]): unknown {
    const r = this.reader
    const name = r.text()
    const codec = codecNamed(name)
    const inner = new Decoder(r, (i) => references[i - 1], this.runCodec, this.shapeKeys)
    inner.bare = this.bare
    if (codec !== undefined) r.detach()
    const stored = inner.value()
    if (codec !== undefined) {
      try {
        return this.runCodec(codec, stored)
      } catch (error) {
        thrownByCodec = error
        throw error
      }
    }
    if (this.bare) throw unregistered(name)
    return unread(name)
  }

  /** A frozen object in the flat form. */
  private flat(): object {
    const r = this.reader
    r.pos += 1
    const shape = r.u32()
    if (shape !== this.lastShape) {
      const keys = this.shapeKeys(shape)
      if (keys === undefined) throw corrupt()
      this.lastKeys = keys
      this.lastShape = shape
    }
    const target = readMembers(r, this.lastKeys)
    Object.freeze(target)
    return this.bare ? target : new Proxy(target, readOnly)
  }

  /** Content mode: the one value that the content is, frozen. */
  private frozenValue(references: readonly unknown[]): unknown {
    this.lookup = (index) => references[index]
    try {
      const value = this.value()
      this.frozen.forEach((container) => Object.freeze(container))
      return value
    } finally {
      this.reset()
      this.keysOf = []
      this.nameOf = []
      this.frozen = []
      this.lookup = nowhere
    }
  }

  private errorField(error: object, field: string, value: unknown, shown: boolean): void {
    // the list of an AggregateError is an array of its own at each read
    if (field === 'errors' && Array.isArray(value)) value = value.slice()
    const enumerable = field === 'name' && shown
    Object.defineProperty(error, field, descriptor({ value, writable: true, configurable: true, enumerable }))
  }
}

/** The last error that a user's `decode` has thrown: it is handed on as it is. */
let thrownByCodec: unknown

const nothing = {}
const none: readonly unknown[] = []
const nowhere: Lookup = () => {
  throw corrupt()
}

/** What stands for a frozen object: the object, but a write to it throws, in sloppy mode too. */
const readOnly = {
  // at each read the engine looks for a `get` here, and would go on to look for one in a prototype: 22 ns a read, not 30
  __proto__: null,
  // what inherits from it can be written; so can what a class has a setter for
  set: (target, key, value, receiver) => Reflect.set(target, key, value, receiver) || refuseWrite(target, key),
  deleteProperty: refuseWrite,
  defineProperty: refuseWrite,
} as ProxyHandler<object>

function refuseWrite(_target: object, key: string | symbol): never {
  throw fail('ERR_COHEAP_READ_ONLY', `the object is frozen: ${String(key)} cannot be changed`)
}

function unread(name: string): object {
  return standIn(notRegistered(name), () => unregistered(name))
}

function corrupt(): Error {
  return fail('ERR_COHEAP_CORRUPT', 'a stored value cannot be decoded')
}

/**
 * A plain object for many keys: made without a prototype it is a hash table to the engine from the start. Else it takes
 * each new key for a kind of object of its own, up to a limit: 350 µs for 1,000 keys instead of 40.
 */
function table(): object {
  return Object.setPrototypeOf(Object.create(null), Object.prototype) as object
}

/**
 * An own property, also where the prototype has a setter: of the name `__proto__`, or of a class; and where it forbids an
 * assignment: a program may have frozen `Object.prototype`.
 */
function define(target: Record<string | symbol, unknown>, key: string | symbol, value: unknown): void {
  if (value === HOLE) value = undefined
  const inherits = key === '__proto__' || (Object.getPrototypeOf(target) !== Object.prototype && key in target)
  if (!inherits) {
    try {
      target[key] = value
      return
    } catch {
      // it can be defined all the same
    }
  }
  Object.defineProperty(target, key, dataProperty(value))
}
