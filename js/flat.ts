/**
 * The flat form of by-value objects: a frozen plain object whose members are numbers, strings, booleans, null or
 * undefined. It is what most messages are, so it goes without the frames of the encoder and the decoder, and its keys
 * are said by a shape of the heap wherever there is one: then neither the wire nor the block holds them.
 *
 * ```text
 * 20 packed, what 6, u32 0 references, u32 bytes · 23 flat, u32 shape word, a value for each of its keys
 * ```
 *
 * A short frozen array of numbers, strings and booleans goes without frames too, and is written as every other.
 */
import { types } from 'node:util'
import { PLAIN, type ClassInfo } from './classes.js'
import { append, dataProperty } from './property.js'
import { NOT_YET } from './shapes.js'
import { Packed, Wire, type Reader, type Writer } from './wire.js'
import { ordinaryTargetOf } from './target.js'

/** So many elements of an array are looked at before it is written otherwise. */
const MOST_FLAT = 16

/** The most keys of an object whose keys a shape can say. */
export const MOST_SHAPE_KEYS = 64

const descriptor = Object.getOwnPropertyDescriptor
const prototypeOf = Object.getPrototypeOf as (o: object) => object | null
const ownKeys = Object.keys
const ownSymbols = Object.getOwnPropertySymbols
const isFrozen = Object.isFrozen
const isProxy = types.isProxy
const assign = Object.assign

/** Takes the properties of many objects. It inherits nothing: no setter can be met. */
// eslint-disable-next-line @typescript-eslint/no-extraneous-class -- an ordinary object to the engine, unlike Object.create(null)
class Gathered {}
Object.setPrototypeOf(Gathered.prototype, null)

/** The most characters of a string that is looked for where the last one stands. */
const MOST_AGAIN = 32

/** Gives the shape word for keys in this order, 0 if there is none, or {@link NOT_YET}. */
export type ShapeOf = (keys: readonly string[], info: ClassInfo) => number

/** The keys of an object that there is hardly, and which has no shape. */
const NONE: readonly string[] = ['']

/** Writes objects in the flat form. */
export class FlatWriter {
  /** The keys of the object that was written last, and their shape: the next one is likely to have the same. */
  private keys = NONE
  private shape = 0
  /** In a run: the string that each member had last, and where it stands. Many have few values. */
  private texts: (string | undefined)[] | undefined
  private readonly places = new Float64Array(MOST_SHAPE_KEYS)

  constructor(
    private readonly writer: Writer,
    private readonly shapeOf: ShapeOf,
    private readonly stagingUses: () => number,
  ) {}

  /** Writes the object if that can be done in the flat form. False, and nothing is written, if it cannot. Runs no code of the user's. */
  write(value: object): boolean {
    const start = this.writer.pos
    // a Proxy first: whatever is asked of one may run its traps
    if (isProxy(value) || !this.members(value)) return false
    if (ownSymbols(value).length === 0) return true
    this.writer.pos = start
    return false
  }

  /** Writes a short frozen array with nothing but scalars in it, packed; false, and nothing is written, if it is none. */
  writeArray(value: readonly unknown[]): boolean {
    const n = value.length
    if (n > MOST_FLAT || isProxy(value) || ownKeys(value).length !== n || ownSymbols(value).length !== 0) return false
    const { writer: w } = this
    const start = w.pos
    w.tag(Wire.PACKED)
    w.u8v(Packed.ARRAY)
    w.u32(0)
    w.u32(0)
    const from = w.pos
    w.tag32(Wire.ARRAY, 0)
    w.u32(n)
    w.u32(n)
    for (let i = 0; i < n; i++) {
      const property = descriptor(value, i)
      // an accessor has no value; what is not there has another property in its stead
      const scalar: unknown = property?.value
      if (typeof scalar === 'number') w.number(scalar)
      else if (typeof scalar === 'string') w.string(scalar)
      else if (typeof scalar === 'boolean') w.tag(scalar ? Wire.TRUE : Wire.FALSE)
      else {
        w.pos = start
        return false
      }
    }
    w.u32(0)
    w.patch32(from - 4, w.pos - from)
    return true
  }

  /**
   * Writes the values from this one on as long as they are numbers, or objects in the flat form: the first that is not. What
   * takes longest is asked of all at once: whether one has symbols for keys (50 ns) of what they are gathered in (30 ns each),
   * and whether one is a Proxy (15 ns) not at all [Node 20]. One that is frozen cannot say what is not so, but its traps may
   * use staging, as may an accessor whose key is a symbol. -1 then: nothing that stands in staging counts.
   */
  run(values: ArrayLike<unknown>, from: number): number {
    const n = values.length
    const uses = this.stagingUses()
    let gathered: object | undefined
    let i = from
    this.texts = []
    try {
      for (; i < n; i++) {
        const value = values[i]
        if (typeof value === 'number') {
          this.writer.number(value)
          continue
        }
        const { keys } = this
        if (typeof value !== 'object' || value === null || !this.members(value)) break
        if (gathered !== undefined && keys !== this.keys) {
          if (ownSymbols(gathered).length !== 0) return -1
          gathered = undefined
        }
        gathered = assign(gathered ?? new Gathered(), value)
      }
    } catch {
      return -1
    } finally {
      this.texts = undefined
    }
    return uses === this.stagingUses() && (gathered === undefined || ownSymbols(gathered).length === 0) ? i : -1
  }

  /** Writes the members of an object that can be in the flat form unless it has symbols for keys. */
  private members(value: object): boolean {
    if (!isFrozen(value) || prototypeOf(value) !== Object.prototype || ordinaryTargetOf(value) !== undefined)
      return false
    if (!hasKeys(value, this.keys)) this.learn(ownKeys(value))
    if (this.shape === 0) return false
    const { writer: w, keys } = this
    const n = keys.length
    const start = w.beginFlat(this.shape)
    for (let i = 0; i < n; i++) {
      const property = descriptor(value, keys[i])
      if (property === undefined || !this.member(property, i)) {
        w.pos = start
        return false
      }
    }
    w.endFlat(start)
    return true
  }

  /** The next object is likely to have these keys too. */
  private learn(keys: readonly string[]): void {
    const shape = keys.length <= MOST_SHAPE_KEYS && canBeFlat(keys) ? this.shapeOf(keys, PLAIN) : 0
    this.shape = Math.max(shape, 0)
    // a shape may come
    this.keys = shape === NOT_YET ? NONE : keys
  }

  /** Writes the value of a data property, if it is a simple one. An accessor has no value, and is none. */
  private member(property: PropertyDescriptor, i: number): boolean {
    const w = this.writer
    const value: unknown = property.value
    if (typeof value === 'number') w.number(value)
    else if (typeof value === 'string') this.text(value, i)
    else if (typeof value === 'boolean') w.tag(value ? Wire.TRUE : Wire.FALSE)
    else if (value === null) w.tag(Wire.NULL)
    else if (value === undefined && property.get === undefined && property.set === undefined) w.tag(Wire.UNDEFINED)
    else return false
    return true
  }

  private text(value: string, i: number): void {
    const { writer: w, texts } = this
    if (texts === undefined || value.length > MOST_AGAIN) return w.text(value)
    const { pos } = w
    while (texts.length <= i) append(texts, undefined)
    if (texts[i] === value) w.again(this.places[i], value)
    else w.text(value)
    texts[i] = value
    this.places[i] = pos
  }
}

/** True of keys that {@link readMembers} can set: all but `__proto__`, which would set the prototype. */
export function canBeFlat(keys: readonly (string | symbol)[]): keys is readonly string[] {
  return !keys.some((key) => typeof key === 'symbol' || key === '__proto__')
}

/** True if these are the enumerable own keys of an ordinary object, in this order, and it inherits none. */
function hasKeys(object: object, keys: readonly string[]): boolean {
  let i = 0
  // unlike Object.keys it makes no array of the keys, and an object that looks like the last one is told at once
  for (const key in object) if (key !== keys[i++]) return false
  return i === keys.length
}

/** True if the packed content that comes next is an object in the flat form. */
export function isFlat(r: Reader, what: number, references: number): boolean {
  return what === Packed.OBJECT && references === 0 && r.peek(0) === Wire.FLAT
}

/** The object of the flat form, not yet frozen. `keys` are those of its shape, see {@link canBeFlat}. */
export function readMembers(r: Reader, keys: readonly string[]): object {
  const { pos } = r
  try {
    return assigned(r, keys)
  } catch {
    // a program has frozen Object.prototype, which has such a name; what else was wrong is so again
    r.pos = pos
    const object = {}
    for (let i = 0; i < keys.length; i++) Object.defineProperty(object, keys[i], dataProperty(r.scalar()))
    return object
  }
}

function assigned(r: Reader, keys: readonly string[]): object {
  const object: Record<string, unknown> = {}
  const n = keys.length
  // a place in the code for each of the first keys: the engine remembers one key a place, and adds the
  // properties of one kind of object in 12 ns, in a loop in 57 [3 keys, Node 20]
  if (n > 0) object[keys[0]] = r.scalar()
  if (n > 1) object[keys[1]] = r.scalar()
  if (n > 2) object[keys[2]] = r.scalar()
  if (n > 3) object[keys[3]] = r.scalar()
  if (n > 4) object[keys[4]] = r.scalar()
  if (n > 5) object[keys[5]] = r.scalar()
  if (n > 6) object[keys[6]] = r.scalar()
  if (n > 7) object[keys[7]] = r.scalar()
  for (let i = 8; i < n; i++) object[keys[i]] = r.scalar()
  return object
}
