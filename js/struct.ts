/**
 * Structs: instances with a fixed layout, the fastest kind of live object.
 *
 * In the heap a struct's instance is a record of a class whose name says its layout (`layout.ts`), so its shape is one
 * and its fields stand in the same slots for ever. Its wrapper is no Proxy: an ordinary object that takes no properties,
 * whose prototype has an accessor for each field (`struct-fields.ts`). That knows its word beforehand and reads it in the
 * window as `record.ts` does. An instance that is not shared looks the same; its values stand behind it in this thread.
 */
// first: these modules refer to each other, and it is from there that they can be evaluated in turn, whoever is asked for
import './attachment.js'
import type { Attachment } from './attachment.js'
import {
  declareStruct,
  notRegistered,
  standInForStructs,
  structNamed,
  unregistered,
  type ClassInfo,
} from './classes.js'
import { uncloneable } from './collection.js'
import { wrongType } from './errors.js'
import { initialOf, type Fields, type FieldType } from './fields.js'
import { shown } from './inspect.js'
import { layoutOf } from './layout.js'
import { RecordTarget, entriesOf, fits } from './record.js'
import { members, ownOnly } from './property.js'
import { MOST_INLINE } from './shapes.js'
import { special, unreadable } from './stand-in.js'
import { LocalTarget, fitted, newAccessors, type Accessors, type Values } from './struct-fields.js'
import { Given, ordinaryTargetOf } from './target.js'

const custom = Symbol.for('nodejs.util.inspect.custom')

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

// without a prototype and yet an ordinary object to the engine
const NoProperties = function () {
  // empty
} as unknown as new () => Values
NoProperties.prototype = Object.create(null) as object

/** Ties what stands behind it to an instance that is not live; of live ones {@link ordinaryTargetOf} tells. */
class Local extends Given {
  #target: LocalTarget
  constructor(instance: object, target: LocalTarget) {
    super(instance)
    this.#target = target
  }
  static of(value: object): LocalTarget | undefined {
    return #target in value ? value.#target : undefined
  }
}

/** What stands behind an instance of a struct; undefined for anything else. */
function behind(value: object): RecordTarget | LocalTarget | undefined {
  const target = ordinaryTargetOf(value)
  return target === undefined ? Local.of(value) : target instanceof RecordTarget ? target : undefined
}

/** For the values of {@link makeLocal}. */
export function noValues(): Values {
  return new NoProperties()
}

/** The values behind an instance of a struct that is not live, by their names; undefined for anything else. */
export function valuesOf(value: object): Values | undefined {
  return Local.of(value)?.values
}

/** The names of the fields of an instance of a struct, live or not; undefined for anything else. */
export function fieldsOf(value: object): readonly string[] | undefined {
  return behind(value)?.info.layout!.names
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
  const target = new LocalTarget(info, values)
  new (partsOf(info).Accessors)(instance, target)
  new Local(instance, target)
  return sealed(Object.defineProperty(instance, members, compared))
}

/** It takes no further properties. */
export function sealed(instance: object): object {
  return Object.preventExtensions(instance)
}

/** The wrapper of a struct's instance and what stands behind it; to be {@link sealed} when they are tied together. */
export function makeStruct(a: Attachment, h: number, at: number, shapeWord: number, info: ClassInfo): RecordTarget {
  const target = new RecordTarget(a, h, at, a.windows.at(at), info)
  const known = a.shapes.knownAt(shapeWord, at)
  if (info.prototype === undefined) unreadable.count++
  else if (fits(info, known)) target.shape = known
  info.met = true
  const { Accessors, make } = partsOf(info)
  const instance = Object.defineProperty(make(), members, compared)
  target.self = instance
  new Accessors(instance, target)
  return target
}

interface Parts {
  readonly Class: StructClass<Fields>
  readonly Accessors: Accessors
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
    const Accessors = newAccessors()
    const Class = classOf(info, Accessors)
    info.base = Class.prototype
    known = { Class, Accessors, make: uncloneable(Class.prototype), madeFor: Class.prototype }
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
function classOf(info: ClassInfo, accessors: Accessors): StructClass<Fields> {
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
    const get = i < MOST_INLINE ? accessors.getter(key, i) : accessors.distantGetter(key)
    Object.defineProperty(prototype, key, { get, set: accessors.setter(info, key, i), configurable: true })
  })
  return Named
}

// as a whole

/** A plain object with the fields: one consistent view. */
function plainOf(instance: object): Values {
  const t = behind(instance)
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
  const t = behind(this)
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
