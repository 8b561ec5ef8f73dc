/**
 * What this thread knows of a heap's shapes: which keys a record with this shape word has, in which slots; and the
 * tree by which a plain object's keys are turned into a shape word without asking each time.
 */
import { PLAIN, type ClassInfo } from './classes.js'
import type { Port } from './port.js'
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
export function reach(word: number): number {
  return SLOTS + 8 * ((word >>> 16) & 63)
}

/** True if a shape word says nothing of the keys. */
export function isOpaque(word: number): boolean {
  return hasFlag(word, DICTIONARY) || hasFlag(word, DESTROYED)
}

function hasFlag(word: number, flag: number): boolean {
  return Math.floor(word / flag) % 2 === 1
}

/** Children beyond this are data, not structure: the native side makes dictionaries then. */
const MOST_CHILDREN = 1536

interface Node {
  readonly word: number
  readonly next: Map<string, Node | null>
  lastKey: string | undefined
  last: Node | null
}

/** Turns keys into shape words. */
export class ShapeTree {
  private readonly port: Port
  private readonly roots = new Map<ClassInfo, Node>()
  private plain: Node | undefined

  constructor(port: Port) {
    this.port = port
  }

  /** The shape word of an object of this class with these keys in this order; 0: none, say the keys. */
  wordOf(keys: readonly string[], info: ClassInfo): number {
    const first = keys[0]
    // index keys come first; objects that have them are tables rather than records
    if (first !== undefined && isDigit(first.charCodeAt(0))) return 0
    let node = info === PLAIN ? (this.plain ??= this.root(PLAIN)) : this.root(info)
    if (node.word === 0) return 0
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]
      const next: Node | null = node.lastKey === key ? node.last : this.child(node, key)
      if (next === null) return 0
      node = next
    }
    return node.word
  }

  private root(info: ClassInfo): Node {
    let root = this.roots.get(info)
    if (root === undefined) {
      const word =
        info.name === '' ? this.port.rootShape(info.prototype === null) : this.port.rootShape(false, info.name)
      // without room for it the storing itself fails, and says why
      root = node(this.port.state[0] === Status.OK ? word : 0)
      if (root.word !== 0) this.roots.set(info, root)
    }
    return root
  }

  private child(parent: Node, key: string): Node | null {
    let child = parent.next.get(key)
    if (child === undefined) {
      if (parent.next.size >= MOST_CHILDREN) return null
      const word = this.port.shapeChild(parent.word, key)
      child = this.port.state[0] === Status.OK && word !== 0 ? node(word) : null
      parent.next.set(key, child)
    }
    parent.lastKey = key
    parent.last = child
    return child
  }
}

function node(word: number): Node {
  return { word, next: new Map(), lastKey: undefined, last: null }
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57
}
