/**
 * What this thread knows of a heap's shapes: which keys a record with this shape word has, in which slots; and the
 * tree by which a plain object's keys are turned into a shape word without asking each time.
 */
import { PLAIN, type ClassInfo } from './classes.js'
import type { Port } from './port.js'
import { append } from './property.js'
import type { Windows } from './windows.js'
import { Reader, asName } from './wire.js'
import { Status } from './port.js'

/** Flags of a shape word; see `crates/objects/src/shape.rs`. */
const DELETED = 2 ** 28
const DICTIONARY = 2 ** 30
const DESTROYED = 2 ** 31

/** Where a record's inline slots begin, in bytes; see `crates/objects/src/record.rs`. */
const SLOTS = 24
/** The same in words of 8 bytes. */
export const FIRST_SLOT = SLOTS >> 3
/** So many slots are inline in a record that is made with at least as many. */
export const MOST_INLINE = 32

/** What a shape word says. Immutable, for ever true. */
export class Shape {
  /** The shape word; -1 matches none. */
  readonly id: number
  readonly keys: readonly (string | symbol)[]
  /** Key → slot. */
  readonly slots: ReadonlyMap<string | symbol, number>
  /** Key → place of its slot in the object, in words of 8 bytes; only of slots that stand in the object. */
  readonly words: ReadonlyMap<string | symbol, number>
  /** Some of its slots may be absent. */
  readonly sparse: boolean

  constructor(
    id: number,
    keys: readonly (string | symbol)[],
    slots: ReadonlyMap<string | symbol, number>,
    words: ReadonlyMap<string | symbol, number>,
  ) {
    this.id = id
    this.keys = keys
    this.slots = slots
    this.words = words
    this.sparse = id < 0 || hasFlag(id, DELETED)
  }
}

/** The shape of what must be asked about at each use: dictionaries, destroyed objects, whatever is not known yet. */
export const UNKNOWN = new Shape(-1, [], new Map(), new Map())

/** The bytes of a record with this shape word, from its beginning to the end of its inline slots. */
function reach(word: number): number {
  return SLOTS + 8 * ((word >>> 16) & 63)
}

/** True if a shape word says nothing of the keys. */
function isOpaque(word: number): boolean {
  return hasFlag(word, DICTIONARY) || hasFlag(word, DESTROYED)
}

function hasFlag(word: number, flag: number): boolean {
  return Math.floor(word / flag) % 2 === 1
}

/** The shapes that this thread has met in a heap, by their words. */
export class KnownShapes {
  private readonly known = new Map<number, Shape>()

  /** `staging` gives the staging buffer, of at least so many bytes. */
  constructor(
    private readonly port: Port,
    private readonly windows: Windows,
    private readonly staging: (bytes: number) => ArrayBuffer,
  ) {}

  /** True if nothing has to be asked for this one. */
  has(word: number): boolean {
    return this.known.has(word)
  }

  /** As {@link at}, without asking: UNKNOWN if this thread has not met it. */
  knownAt(word: number, at: number): Shape {
    return this.windows.holds(at + reach(word)) ? (this.known.get(word) ?? UNKNOWN) : UNKNOWN
  }

  /** As {@link get}, for the record that stands there: {@link UNKNOWN} too if it would reach beyond allocated memory. */
  at(word: number, at: number): Shape {
    return this.windows.holds(at + reach(word)) ? this.get(word) : UNKNOWN
  }

  /** What a shape word says; {@link UNKNOWN} where it says nothing. Uses staging when asked the first time. */
  get(word: number): Shape {
    const known = this.known.get(word)
    if (known !== undefined) return known
    if (isOpaque(word)) return UNKNOWN
    const { port } = this
    port.shapeInfo(word)
    if (port.state[0] !== Status.WIRE) return UNKNOWN
    // not the reader of answers: one may be half read
    const r = new Reader()
    r.use(this.staging(port.state[1]), 0, port.state[1])
    const n = r.u32()
    const keys: (string | symbol)[] = []
    const slots = new Map<string | symbol, number>()
    const words = new Map<string | symbol, number>()
    for (let i = 0; i < n; i++) {
      const said = r.key()
      const key = typeof said === 'string' ? asName(said) : said
      const slot = r.int()
      const bytes = r.int()
      append(keys, key)
      slots.set(key, slot)
      if (bytes >= 0) words.set(key, bytes >> 3)
    }
    const shape = new Shape(word, keys, slots, words)
    this.known.set(word, shape)
    return shape
  }
}

/** Children beyond this are data, not structure: the native side makes dictionaries then. */
const MOST_CHILDREN = 1536

/** What the native side answers for a shape that there is not yet. */
export const NOT_YET = -1

/** A shape, below which there are longer ones; or 0: none, or {@link NOT_YET}. */
type Step = Node | 0 | typeof NOT_YET

interface Node {
  readonly word: number
  readonly next: Map<string, Node | 0>
  lastKey: string | undefined
  last: Node | 0
}

/** Keys that no shape says yet, of objects of this class. */
export interface Kind {
  readonly keys: readonly string[]
  readonly info: ClassInfo
}

/** So many new kinds of one value get shapes at most. */
const MOST_NEW = 64

/**
 * Turns keys into shape words. A shape stays for ever, and there is room for so many only: those that a value needs are made
 * when all of it is known to be storable. The first objects of a kind say their keys.
 */
export class ShapeTree {
  private readonly port: Port
  private readonly roots = new Map<ClassInfo, Node>()
  private plain: Node | undefined

  constructor(port: Port) {
    this.port = port
  }

  /**
   * The shape word of an object of this class with these keys in this order; 0: there is none, say the keys;
   * {@link NOT_YET}: so too, and the kind is among `missing`.
   */
  wordOf(keys: readonly string[], info: ClassInfo, missing: Kind[]): number {
    const word = this.find(keys, info, false)
    if (word !== NOT_YET || missing.length >= MOST_NEW) return word
    const last = missing.at(-1)
    if (last?.info !== info || !sameKeys(last.keys, keys)) append(missing, { keys, info })
    return word
  }

  /** Makes the shapes of these kinds, as far as there is room. */
  make(missing: Kind[]): void {
    // by index: it must not depend on how a program lets arrays be iterated
    for (let i = 0; i < missing.length; i++) this.find(missing[i].keys, missing[i].info, true)
    missing.length = 0
  }

  private find(keys: readonly string[], info: ClassInfo, make: boolean): number {
    // an empty list would look in its prototypes
    const first = keys.length === 0 ? undefined : keys[0]
    // index keys come first; objects that have them are tables rather than records
    if (first !== undefined && isDigit(first.charCodeAt(0))) return 0
    let step: Step = info === PLAIN ? (this.plain ?? this.root(PLAIN, make)) : this.root(info, make)
    for (let i = 0; i < keys.length && typeof step === 'object'; i++) {
      const key = keys[i]
      step = step.lastKey === key ? step.last : this.child(step, key, make)
    }
    return typeof step === 'object' ? step.word : step
  }

  private root(info: ClassInfo, make: boolean): Step {
    const known = this.roots.get(info)
    if (known !== undefined) return known
    const word =
      info.name === '' ? this.port.rootShape(info.prototype === null) : this.port.rootShape(false, info.name, make)
    // without room for it the storing itself fails, and says why
    const step = this.answered(word)
    if (typeof step === 'object') this.roots.set(info, step)
    if (typeof step === 'object' && info === PLAIN) this.plain = step
    return step
  }

  private child(parent: Node, key: string, make: boolean): Step {
    let step: Step | undefined = parent.next.get(key)
    if (step === undefined) {
      if (parent.next.size >= MOST_CHILDREN) return 0
      step = this.answered(this.port.shapeChild(parent.word, key, make))
      if (step === NOT_YET) return step
      parent.next.set(key, step)
    }
    parent.lastKey = key
    parent.last = step
    return step
  }

  /** What the native side has answered. */
  private answered(word: number): Step {
    if (this.port.state[0] !== Status.OK || word === 0) return 0
    return word === NOT_YET ? NOT_YET : { word, next: new Map(), lastKey: undefined, last: 0 }
  }
}

/** True if these are the same keys in the same order. */
export function sameKeys(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57
}
