/**
 * Structs: instances with a fixed layout, the fastest kind of live object.
 *
 * In the heap a struct's instance is a record of a class whose name says its layout (`layout.ts`), so its shape is one
 * and its fields stand in the same slots for ever. Its wrapper is no Proxy: an ordinary object that takes no properties,
 * whose prototype has an accessor for each field. That knows its word beforehand and reads it in the window as
 * `record.ts` does. An instance that is not shared looks the same; its values stand behind it in this thread.
 */
// first: these modules refer to each other, and it is from there that they can be evaluated in turn, whoever is asked for
import './attachment.js'
import type { Attachment } from './attachment.js'
import { again, immediate } from './cells.js'
import * as cells from './cells.js'
import {
  declareStruct,
  notRegistered,
  standInForStructs,
  structNamed,
  unregistered,
  type ClassInfo,
} from './classes.js'
import { members, uncloneable } from './collection.js'
import { fail, wrongType } from './errors.js'
import { initialOf, kindOfField, type Fields, type FieldType } from './fields.js'
import { shown } from './inspect.js'
import { layoutOf } from './layout.js'
import { RecordTarget, ask, entriesOf, fits, store } from './record.js'
import { ownOnly } from './property.js'
import { FIRST_SLOT, MOST_INLINE, UNKNOWN } from './shapes.js'
import { special, unreadable } from './stand-in.js'
import { Given } from './target.js'

const custom = Symbol.for('nodejs.util.inspect.custom')
// the compiler knows what a constant of this module is, and not what an imported one is
const { ABSENT, ASK, scratchF, scratchU } = cells

/** What a field of this type holds. */
export type FieldValue<T extends FieldType> = T extends 'bool'
  ? boolean
  : T extends 'i64' | 'u64'
    ? bigint
    : T extends 'string'
      ? string
      : T extends 'any'
        ? // eslint-disable-next-line @typescript-eslint/no-explicit-any -- any storable value
          any
        : number

/** An instance of a struct with these fields. */
export type StructOf<F extends Fields> = { -readonly [K in keyof F]: FieldValue<F[K]> }

/** The class of a struct. */
export interface StructClass<F extends Fields> {
  /** An instance that is not shared; fields that are not given are 0, false, '' or undefined. */
  new (fields?: { readonly [K in keyof F]?: FieldValue<F[K]> | undefined }): StructOf<F>
  readonly prototype: StructOf<F>
  readonly name: string
}

/** The values of an instance that is not live, by their names. */
type Values = Record<string, unknown>

// without a prototype and yet an ordinary object to the engine
const NoProperties = function () {
  // empty
} as unknown as new () => Values
NoProperties.prototype = Object.create(null) as object

/** What stands behind an instance that is not live. */
class LocalTarget {
  readonly info: ClassInfo
  readonly values: Values
  constructor(info: ClassInfo, values: Values) {
    this.info = info
    this.values = values
  }
}

/**
 * An instance, with what stands behind it. A private field of its own besides the one that every live object has: where
 * this is asked for there is one, and only in instances of structs, so the engine knows its place beforehand.
 */
class Instance extends Given {
  #behind: RecordTarget | LocalTarget
  constructor(object: object, behind: RecordTarget | LocalTarget) {
    super(object)
    this.#behind = behind
  }

  static behind(value: object): RecordTarget | LocalTarget | undefined {
    return #behind in value ? value.#behind : undefined
  }

  /** Reads a field whose slot stands in the object itself. */
  static getter(info: ClassInfo, name: string, slot: number): (this: Instance) => unknown {
    const word = FIRST_SLOT + slot
    return function () {
      const t = this.#behind
      // another struct's instance has something else in this place
      if (!(t instanceof RecordTarget) || t.info !== info) return elsewhere(t, info, name)
      if (t.attachment.gate === 0) {
        const u32 = t.u32
        const low = t.low
        const version = u32[low]
        if ((version & 1) === 0 && u32[low + 2] === t.shape.id) {
          const x = t.f64[t.base + word]
          scratchF[0] = x
          if (x === x) return x
          if (again(u32, low) === version) {
            const { child } = t
            if (child !== undefined && scratchU[0] === t.childLow && scratchU[1] === t.childHigh) return child
            const value = immediate(t)
            if (value !== ASK && value !== ABSENT) return value
          }
        }
      }
      return asked(t, name)
    }
  }

  /** Reads a field whose slot does not. */
  static distantGetter(info: ClassInfo, name: string): (this: Instance) => unknown {
    return function () {
      const t = this.#behind
      return t instanceof RecordTarget && t.info === info ? asked(t, name) : elsewhere(t, info, name)
    }
  }

  static setter(info: ClassInfo, name: string, slot: number): (this: Instance, value: unknown) => void {
    const { name: struct, types } = info.layout!
    const type = types[slot]
    const { takes, wrap } = kindOfField(type)
    return function (value) {
      const t = this.#behind
      if (t instanceof RecordTarget && t.info === info) {
        if (info.prototype === undefined) throw unregistered(info.name)
        const stored = typeof value === takes && wrap === undefined ? value : fitted(struct, name, type, value)
        store(t, name, t.shape === UNKNOWN ? undefined : slot, stored)
        return
      }
      const values = localValues(t, info, name)
      if (Object.isFrozen(this)) {
        throw fail('ERR_COHEAP_READ_ONLY', `the ${struct} is frozen: ${name} cannot be changed`)
      }
      values[name] = fitted(struct, name, type, value)
    }
  }
}

/** For the values of {@link makeLocal}. */
export function noValues(): Values {
  return new NoProperties()
}

/** The values behind an instance of a struct that is not live, by their names; undefined for anything else. */
export function valuesOf(value: object): Values | undefined {
  const t = Instance.behind(value)
  return t instanceof LocalTarget ? t.values : undefined
}

/** The names of the fields of an instance of a struct, live or not; undefined for anything else. */
export function fieldsOf(value: object): readonly string[] | undefined {
  return Instance.behind(value)?.info.layout!.names
}

/** Who compares by own properties, as `assert.deepStrictEqual` does, is shown the fields. */
const compared = ownOnly({
  get(this: object) {
    return plainOf(this)
  },
  enumerable: true,
  configurable: true,
})

/** An instance that is not live, with these values, which may still come. */
export function makeLocal(info: ClassInfo, values: Values): object {
  const instance = Object.create(info.prototype!) as object
  return localOf(instance, info, values)
}

function localOf(instance: object, info: ClassInfo, values: Values): object {
  new Instance(instance, new LocalTarget(info, values))
  return sealed(Object.defineProperty(instance, members, compared))
}

/** It takes no further properties. */
export function sealed(instance: object): object {
  return Object.preventExtensions(instance)
}

/** The wrapper of a struct's instance and what stands behind it; to be {@link sealed} when they are tied together. */
export function makeStruct(a: Attachment, h: number, at: number, shapeWord: number, info: ClassInfo): RecordTarget {
  const target = new RecordTarget(a, h, at, a.window(at), info)
  const known = a.knownShapeAt(shapeWord, at)
  if (info.prototype === undefined) unreadable.count++
  else if (fits(info, known)) target.shape = known
  info.met = true
  const instance = Object.defineProperty(partsOf(info).make(), members, compared)
  target.self = instance
  new Instance(instance, target)
  return target
}

interface Parts {
  readonly Class: StructClass<Fields>
  /** Makes wrappers. */
  make: () => object
  /** The prototype that they have. */
  madeFor: object
}

/** Of structs that are declared in this thread, or were met in a heap. */
const parts = new Map<ClassInfo, Parts>()

function partsOf(info: ClassInfo): Parts {
  let known = parts.get(info)
  if (known === undefined) {
    const Class = classOf(info)
    info.base = Class.prototype
    known = { Class, make: uncloneable(Class.prototype), madeFor: Class.prototype }
    parts.set(info, known)
  }
  const prototype = info.prototype ?? known.Class.prototype
  if (known.madeFor !== prototype) {
    known.make = uncloneable(prototype)
    known.madeFor = prototype
  }
  return known
}

/** To look at a heap whose structs are not declared here. */
standInForStructs((info) => partsOf(info).Class.prototype)

/** The class, whose prototype has the accessors. */
function classOf(info: ClassInfo): StructClass<Fields> {
  const { name, names, types } = info.layout!
  const Named = {
    // eslint-disable-next-line @typescript-eslint/no-extraneous-class -- its accessors are added below
    [name]: class {
      constructor(given?: unknown) {
        const values = noValues()
        names.forEach((key, i) => (values[key] = initialOf(types[i])))
        if (given !== undefined) {
          if (given === null || typeof given !== 'object') throw wrongType(`a ${name} is made of an object with fields`)
          const source = fieldsOf(given) === undefined ? (given as Values) : plainOf(given)
          Object.keys(source).forEach((key) => {
            const i = names.indexOf(key)
            if (i < 0) throw wrongType(`a ${name} has no field ${key}`)
            const value = source[key]
            if (value !== undefined) values[key] = fitted(name, key, types[i], value)
          })
        }
        localOf(this, info, values)
      }
    },
  }[name]
  const { prototype } = Named as { prototype: object }
  const method = (value: unknown) => ({ value, writable: true, configurable: true })
  Object.defineProperty(prototype, 'toJSON', method(toJSON))
  Object.defineProperty(prototype, custom, method(inspected))
  names.forEach((key, i) => {
    const get = i < MOST_INLINE ? Instance.getter(info, key, i) : Instance.distantGetter(info, key)
    Object.defineProperty(prototype, key, { get, set: Instance.setter(info, key, i), configurable: true })
  })
  return Named
}

// fields

function asked(t: RecordTarget, name: string): unknown {
  if (t.info.prototype === undefined) throw unregistered(t.info.name)
  const value = ask(t, name)
  return value === ABSENT ? initialValue(t.info, name) : value
}

function initialValue(info: ClassInfo, name: string): unknown {
  const { names, types } = info.layout!
  return initialOf(types[names.indexOf(name)])
}

/** The values behind an instance that is not live. */
function localValues(t: RecordTarget | LocalTarget, info: ClassInfo, name: string): Values {
  if (t instanceof LocalTarget && t.info === info) return t.values
  throw new TypeError(`the field ${name} of a ${info.layout!.name} is asked of another struct`)
}

/** A field of an instance that is not live. */
function elsewhere(t: RecordTarget | LocalTarget, info: ClassInfo, name: string): unknown {
  const value = localValues(t, info, name)[name]
  return value === undefined ? initialValue(info, name) : value
}

/** A value as the field holds it. */
function fitted(struct: string, name: string, type: FieldType, value: unknown): unknown {
  const { takes, wrap } = kindOfField(type)
  if (takes === undefined) return value
  if (typeof value !== takes) {
    const found = value === null ? 'null' : typeof value
    throw wrongType(`the field ${name} of a ${struct} takes a ${takes} (${type}), not ${found}`)
  }
  return wrap === undefined ? value : wrap(value as never)
}

// as a whole

/** A plain object with the fields: one consistent view. */
function plainOf(instance: object): Values {
  const t = Instance.behind(instance)
  const plain: Values = {}
  if (t instanceof LocalTarget) return Object.assign(plain, t.values)
  if (t === undefined) throw new TypeError('the fields of a struct are asked of something else')
  if (t.info.prototype === undefined) throw unregistered(t.info.name)
  const entries = entriesOf(t)
  for (let i = 0; i < entries.length; i += 2) plain[entries[i] as string] = entries[i + 1]
  return plain
}

function toJSON(this: object): Values {
  return plainOf(this)
}

/** `Point { x: 1 }`, live `Shared Point { x: 1 }` */
function inspected(this: object, depth: number, options: object, inspect: unknown): unknown {
  const t = Instance.behind(this)
  // the prototype itself
  if (t === undefined) return this
  const { info } = t
  if (info.prototype === undefined) return special(notRegistered(info.name), options)
  const { name } = info.layout!
  return shown(
    { self: this },
    t instanceof LocalTarget ? name : `Shared ${name}`,
    depth,
    options,
    () => plainOf(this),
    inspect,
  )
}

/**
 * Declares a struct: a class whose instances have exactly these fields, in a fixed layout. Live ones are read without
 * crossing into native code and without a Proxy: the fastest kind of object. On every side, with the same fields in the
 * same order, before instances are stored or used; again with the same fields gives the same class. At most 64 fields.
 *
 * The fields are accessors on the prototype: no own keys, so spread does not see them; `toJSON` and `console.log` do.
 * Numbers and bigints wrap as typed arrays do. There are no further properties. A class that extends a struct is what its
 * instances are of once it has been given to {@link register}, before the first of them is read.
 * @throws ERR_COHEAP_INVALID_ARGUMENT: a type that does not exist, a name that another class or struct has
 */
export function struct<const F extends Fields>(name: string, fields: F): StructClass<F> {
  const info = structNamed(layoutOf(name, fields))
  const { Class } = partsOf(info)
  if (info.prototype === undefined) declareStruct(info, Class.prototype)
  return Class as unknown as StructClass<F>
}
