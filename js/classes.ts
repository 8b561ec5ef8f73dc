/**
 * The classes and codecs that this thread knows, by name and by prototype: {@link register}, {@link registerCodec}.
 *
 * A heap names the class of each instance, and nothing more. So a thread may meet a name that means nothing to it yet:
 * an instance is a live object that refuses every use until its class is registered; for a coded or frozen value there is
 * a stand-in (`stand-in.ts`), and the next reading gives the value.
 */
import { inspect } from 'node:util'
import { fail, wrongType } from './errors.js'
import { fieldTypes, sameFields, type Fields, type FieldTypes } from './fields.js'
import { isLayout, parseLayout, type Layout } from './layout.js'
import { optionsOf } from './sizes.js'

/** A class whose instances are of the type `T`; its constructor is never called. */
export interface ClassOf<T> {
  readonly prototype: T
  readonly name: string
}

/** How the instances of a class are stored. */
export interface ClassOptions {
  /** The name under which all sides register it. Default: the class's own. */
  name?: string | undefined
  /** The types of some properties, checked when these are written; other properties stay allowed. */
  fields?: Fields | undefined
}

/** How the instances of a class are stored by value. */
export interface Codec<T, S = unknown> {
  /** The name under which all sides register it. */
  name: string
  /** What stands for the value in the heap: anything that can be stored. What it throws is thrown by the storing. */
  encode: (value: T) => S
  /** The value, anew at each reading. It gets a fresh plain copy of what `encode` gave; live members are live. */
  decode: (stored: S) => T
}

const custom = Symbol.for('nodejs.util.inspect.custom')

/** What a record is an instance of. */
export class ClassInfo {
  /** '' for plain objects. */
  readonly name: string
  /** Undefined: the class is not registered in this thread. */
  prototype: object | null | undefined
  fields: FieldTypes | undefined = undefined
  /** Of a struct. */
  readonly layout: Layout | undefined
  /** Of a struct: the prototype that has its accessors. */
  base: object | undefined = undefined
  /** Of a struct: there are instances in this thread, with the present prototype. */
  met = false

  constructor(name: string, prototype: object | null | undefined, layout?: Layout) {
    this.name = name
    this.prototype = prototype
    this.layout = layout
  }
}

/** Plain objects. */
export const PLAIN = new ClassInfo('', Object.prototype)
/** Objects without a prototype. */
export const NULL = new ClassInfo('', null)

/** A registered codec. */
export class CodecInfo {
  readonly name: string
  readonly encode: (value: unknown) => unknown
  readonly decode: (stored: unknown) => unknown

  constructor(codec: Codec<unknown>) {
    this.name = codec.name
    this.encode = codec.encode
    this.decode = codec.decode
  }
}

/** Classes that are registered, or that a heap has named. */
const classes = new Map<string, ClassInfo>()
const codecs = new Map<string, CodecInfo>()
/** Structs that are declared in this thread, by the names that people know. */
const structs = new Map<string, ClassInfo>()
const byPrototype = new Map<object, ClassInfo | CodecInfo>()

/** The built-in classes whose values Coheap stores by itself. */
const BUILT_IN = new Set<unknown>([
  Object,
  Array,
  Map,
  Set,
  Date,
  RegExp,
  URL,
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
  ArrayBuffer,
  DataView,
  Buffer,
  Number,
  String,
  Boolean,
  BigInt,
  Symbol,
  Function,
  ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  (globalThis as { Float16Array?: unknown }).Float16Array,
])

const LONGEST_NAME = 255

function checkedClass(Class: unknown): { prototype: object; name: string } {
  const prototype = typeof Class === 'function' ? (Class.prototype as unknown) : undefined
  if (prototype === null || typeof prototype !== 'object') throw wrongType('a class is needed')
  const { name } = Class as { name: unknown }
  if (BUILT_IN.has(Class)) throw wrongType(`${String(name)} is a built-in class that needs no registration`)
  return { prototype, name: typeof name === 'string' ? name : '' }
}

function checkedClassName(name: unknown): string {
  if (typeof name !== 'string') throw wrongType('the name of a class must be a string')
  if (name === '') throw wrongType('a class without a name of its own needs the option name')
  if (name.length > LONGEST_NAME) throw wrongType(`the name of a class has at most ${LONGEST_NAME} characters`)
  if (isLayout(name)) throw wrongType("a name that begins so is a struct's: call struct")
  return name
}

/** The native class that a class is built upon, whose instances are more than their properties; undefined if none. */
function nativeBase(prototype: object): string | undefined {
  for (let p: object | null = prototype; p !== null; p = Object.getPrototypeOf(p) as object | null) {
    const constructor = Object.getOwnPropertyDescriptor(p, 'constructor')?.value as unknown
    if (p === Object.prototype || typeof constructor !== 'function') continue
    if (BUILT_IN.has(constructor) || /\[native code\]\s*\}$/.test(Function.prototype.toString.call(constructor))) {
      return constructor.name
    }
  }
  return undefined
}

/** That this prototype may have this name, or has it already: then what it is registered as. */
function checkFree(prototype: object, name: string): ClassInfo | CodecInfo | undefined {
  const known = byPrototype.get(prototype)
  if (known !== undefined && known.name !== name) {
    throw wrongType(`the class is registered already, under the name ${known.name}`)
  }
  if (known === undefined && isTaken(name)) throw wrongType(`another class is registered under the name ${name}`)
  return known
}

function isTaken(name: string): boolean {
  return codecs.has(name) || structs.has(name) || isRegistered(classes.get(name))
}

function isRegistered(info: ClassInfo | undefined): boolean {
  return info?.prototype !== undefined && byPrototype.get(info.prototype as object) === info
}

/**
 * Makes instances of a class storable: live objects as plain ones are, with the class's prototype, so `instanceof`,
 * methods and accessors work on them. On every side, before instances are stored or used; the name is what both sides
 * have in common. Instances are made on reading without running the constructor. `#private` fields are not stored, and
 * methods that touch them throw as the language says. A subclass is registered for itself. Again with the same class
 * and options does nothing.
 *
 * A frozen instance is stored by value and comes back really frozen. A property that `fields` declares is checked, and
 * wrapped, whenever it is written in a thread that has registered it so; one that is absent stays absent.
 * @throws ERR_COHEAP_INVALID_ARGUMENT: no class, a built-in one or a subclass of one, a name that another class has
 */
export function register<T extends object>(Class: ClassOf<T>, options?: ClassOptions): void {
  const { prototype, name: ownName } = checkedClass(Class)
  const o = optionsOf(options)
  const struct = structAbove(prototype)
  if (struct !== undefined) return extendStruct(struct, prototype, o)
  const name = checkedClassName(o.name ?? ownName)
  const fields = o.fields === undefined ? undefined : fieldTypes(o.fields)
  const base = nativeBase(prototype)
  if (base !== undefined) {
    throw wrongType(`${name} extends ${base}, whose instances are more than their properties: use registerCodec`)
  }
  const known = checkFree(prototype, name)
  if (known instanceof CodecInfo) throw wrongType(`${name} has a codec already`)
  if (known !== undefined) {
    if (!sameFields(known.fields, fields)) throw wrongType(`${name} is registered already, with other fields`)
    return
  }
  const info = classNamed(name)
  info.prototype = prototype
  info.fields = fields
  byPrototype.set(prototype, info)
}

// structs

/**
 * What the struct of this layout is for this thread.
 * @throws ERR_COHEAP_INVALID_ARGUMENT: another struct or class has its name
 */
export function structNamed(layout: Layout): ClassInfo {
  const known = structs.get(layout.name)
  if (known !== undefined) {
    if (known.name === layout.text) return known
    throw wrongType(`the struct ${layout.name} is declared already, with other fields`)
  }
  if (isTaken(layout.name)) throw wrongType(`another class is registered under the name ${layout.name}`)
  const info = classNamed(layout.text)
  structs.set(layout.name, info)
  return info
}

/** From now on objects with this prototype are instances of the struct, and its instances have this prototype. */
export function declareStruct(info: ClassInfo, prototype: object): void {
  info.prototype = prototype
  byPrototype.set(prototype, info)
}

/** The struct that a class extends. */
function structAbove(prototype: object): ClassInfo | undefined {
  for (let p: object | null = prototype; p !== null; p = Object.getPrototypeOf(p) as object | null) {
    const info = byPrototype.get(p)
    if (info instanceof ClassInfo && info.layout !== undefined) return info
  }
  return undefined
}

/** The class whose prototype this is becomes the one that instances of the struct are of, with its methods. */
function extendStruct(info: ClassInfo, prototype: object, options: ClassOptions): void {
  const name = info.layout!.name
  if (info.prototype === prototype) return
  if (options.fields !== undefined) throw wrongType(`the fields of the struct ${name} are declared already`)
  if (options.name !== undefined && options.name !== name) throw wrongType(`the struct is called ${name} already`)
  if (info.base !== info.prototype) throw wrongType(`another class that extends the struct ${name} is registered`)
  if (info.met) throw wrongType(`instances of the struct ${name} exist already: register the class first`)
  declareStruct(info, prototype)
}

/**
 * Makes instances of a class storable by value: at each reading there is a fresh one. On every side, before instances
 * are stored or read. A subclass is registered for itself. Again with the same class and functions does nothing.
 * @throws ERR_COHEAP_INVALID_ARGUMENT: no class, a built-in one that needs no codec, a name that another class has
 */
export function registerCodec<T extends object, S>(Class: ClassOf<T>, codec: Codec<T, S>): void {
  const { prototype } = checkedClass(Class)
  const { name: wanted, encode, decode } = optionsOf(codec)
  const name = checkedClassName(wanted)
  if (typeof encode !== 'function' || typeof decode !== 'function') {
    throw wrongType('a codec needs the functions encode and decode')
  }
  const known = checkFree(prototype, name)
  if (known !== undefined) {
    if (known instanceof CodecInfo && known.encode === encode && known.decode === decode) return
    throw wrongType(
      `${name} is registered already, ${known instanceof CodecInfo ? 'with another codec' : 'as a class'}`,
    )
  }
  const info = new CodecInfo({ name, encode, decode } as Codec<unknown>)
  codecs.set(name, info)
  byPrototype.set(prototype, info)
}

/** What the objects with this prototype are registered as. */
export function registeredAt(prototype: object): ClassInfo | CodecInfo | undefined {
  return byPrototype.size === 0 ? undefined : byPrototype.get(prototype)
}

/** The class that a heap names: one without a prototype as long as it is not registered. */
export function classNamed(name: string): ClassInfo {
  let info = classes.get(name)
  if (info === undefined) {
    info = new ClassInfo(name, undefined, parseLayout(name))
    if (standIns) info.prototype = info.layout === undefined ? standInFor(name) : structStandIn(info)
    classes.set(name, info)
  }
  return info
}

/** The codec that a heap names. */
export function codecNamed(name: string): CodecInfo | undefined {
  return codecs.get(name) ?? (standIns ? new CodecInfo(shownCodec(name)) : undefined)
}

/** What the use of something unregistered throws. */
export function unregistered(name: string): Error {
  const struct = parseLayout(name)?.name
  if (struct !== undefined && structs.has(struct)) {
    return wrongType(`the heap's instances of the struct ${struct} have other fields than are declared here: ${name}`)
  }
  return fail(
    'ERR_COHEAP_UNREGISTERED_CLASS',
    struct !== undefined
      ? `the struct ${struct} is not declared in this thread: call struct first`
      : `the class ${name} is not registered in this thread: call register or registerCodec first`,
    undefined,
    unregistered,
  )
}

/** `[class Account not registered]` */
export function notRegistered(name: string): string {
  return `[class ${parseLayout(name)?.name ?? name} not registered]`
}

// looking at a heap whose classes are not known

let standIns = false
let structStandIn: (info: ClassInfo) => object

/** How the prototype of a struct is made. */
export function standInForStructs(make: (info: ClassInfo) => object): void {
  structStandIn = make
}

/** From now on classes and codecs that are not registered are stood in for: to look at a heap, not to work with it. */
export function standInForClasses(): void {
  standIns = true
}

function standInFor(name: string): object {
  const constructor = function () {
    throw unregistered(name)
  }
  Object.defineProperty(constructor, 'name', { value: name })
  return Object.create(Object.prototype, { constructor: { value: constructor } }) as object
}

function shownCodec(name: string): Codec<unknown> {
  return {
    name,
    encode: () => {
      throw unregistered(name)
    },
    decode: (stored) => ({ [custom]: (_: number, options: object) => `[${name}: ${inspect(stored, options)}]` }),
  }
}
