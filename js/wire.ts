/**
 * The wire format in which values cross to the native side and back, and in which by-value blocks keep their content:
 * byte-packed, little-endian, a tag and its payload. Here: tags, the writer and the reader of its primitive parts.
 * `encode.ts` and `decode.ts` know what the parts mean.
 *
 * ```text
 *  0 undefined  1 null  2 false  3 true  4 hole     5 f64     6 i32
 *  7 Latin-1: u32 n, bytes    8 UTF-16: u32 units, units    9 bigint: u8 negative, u32 limbs, limbs    10 symbol: 7|8
 * 11 object: u32 id, u8 flags (1 null prototype, 2 the name of its class follows: 7|8), u32 count, (key, value)*
 * 12 array: u32 id, u32 length, u32 elements, value*, u32 extra, (key, value)*
 * 13 map: u32 id, u32 count, (key, value)*      14 set: u32 id, u32 count, value*
 * 15 buffer: u32 id, u64 n, bytes    16 view: u32 id, u8 kind, u64 offset, u64 length, buffer (15, 17, 18)
 * 17 back reference: u32 id          18 live object: u32 handle (in content: index of a reference)
 * 19 shaped object: u32 id, u32 shape, u32 count, value*
 * 20 packed: u8 what, u32 references, value*, u32 bytes, content
 * only in content, where 11 and 12 are frozen:
 * 21 object like an earlier one: u32 id, u32 id of that, value*
 * 22 error: u32 id, u8 kind, u8 fields, value*, u32 count, (key, value)*
 * 23 flat object: u32 shape, a value for each of its keys     24 in it, for 7: u8 n, bytes (`flat.ts`)
 * ```
 */
import { fail } from './errors.js'
import { FEW, few } from './latin1.js'
import { repeated } from './property.js'

/** Tags. */
export const Wire = {
  UNDEFINED: 0,
  NULL: 1,
  FALSE: 2,
  TRUE: 3,
  HOLE: 4,
  F64: 5,
  I32: 6,
  LATIN1: 7,
  UTF16: 8,
  BIGINT: 9,
  SYMBOL: 10,
  OBJECT: 11,
  ARRAY: 12,
  MAP: 13,
  SET: 14,
  BUFFER: 15,
  VIEW: 16,
  BACK: 17,
  LIVE: 18,
  SHAPED: 19,
  PACKED: 20,
  LIKE: 21,
  ERROR: 22,
  FLAT: 23,
  TEXT: 24,
} as const

/** What a packed block holds. */
export const Packed = {
  DATE: 1,
  REGEXP: 2,
  ERROR: 3,
  URL: 4,
  BOXED: 5,
  OBJECT: 6,
  ARRAY: 7,
  CODED: 8,
} as const

/** Flags of an object. */
export const ObjectFlag = { NULL_PROTOTYPE: 1, INSTANCE: 2 } as const

/** Which fields an error in content has, in this order; NAME_SHOWN says that `name` was an own enumerable property. */
export const ErrorField = { NAME: 1, MESSAGE: 2, STACK: 4, CAUSE: 8, ERRORS: 16, NAME_SHOWN: 32 } as const

/** The built-in kinds of errors by their number in content. */
export const ERROR_KINDS = [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
] as const

/** Strings longer than this go through Node's own copying. */
const SHORT = 32
const TWO_BYTE = /[^\0-\xff]/

/** Bytes before the first value of a flat object: packed, what, references, bytes; flat, shape. */
const FLAT_HEAD = 1 + 1 + 4 + 4 + 1 + 4
/** Of them those before the content. */
const PACKED_HEAD = 1 + 1 + 4 + 4

/** Gives a buffer of at least so many bytes. */
export type Grow = (minBytes: number) => ArrayBuffer

/** Writes the parts of the wire format into a buffer that grows. */
export class Writer {
  pos = 0
  u8!: Uint8Array
  private view!: DataView
  private node!: Buffer
  private size = 0
  private grow: Grow
  /** It writes to memory of its own. */
  detached = false

  constructor(grow: Grow) {
    this.grow = grow
    this.use(grow(0))
  }

  /** Starts anew in this buffer. */
  use(buffer: ArrayBuffer): void {
    this.u8 = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.node = Buffer.from(buffer)
    this.size = buffer.byteLength
  }

  /** Starts anew, in the buffer that the source now gives. */
  restart(): void {
    const buffer = this.grow(0)
    if (buffer !== this.u8.buffer) this.use(buffer)
    this.pos = 0
  }

  /** Moves what is written so far, and all that follows, to memory of its own. */
  detach(): void {
    if (this.detached) return
    this.detached = true
    this.grow = (n) => new ArrayBuffer(Math.max(n, 1024))
    this.move(this.grow(Math.max(2 * this.pos, 1024)))
  }

  private move(buffer: ArrayBuffer): void {
    const old = this.u8
    if (buffer === old.buffer) return
    this.use(buffer)
    this.u8.set(old.subarray(0, this.pos))
  }

  /** Makes room for `n` more bytes. */
  need(n: number): void {
    const least = this.pos + n
    if (least > this.size) this.move(this.grow(Math.max(least, 2 * this.size)))
  }

  tag(t: number): void {
    this.need(1)
    this.u8[this.pos++] = t
  }

  /** A tag and a u32. */
  tag32(t: number, n: number): void {
    this.need(5)
    this.u8[this.pos] = t
    this.view.setUint32(this.pos + 1, n, true)
    this.pos += 5
  }

  u8v(n: number): void {
    this.need(1)
    this.u8[this.pos++] = n
  }

  u32(n: number): void {
    this.need(4)
    this.view.setUint32(this.pos, n, true)
    this.pos += 4
  }

  u64(n: number): void {
    this.need(8)
    this.view.setUint32(this.pos, n % 2 ** 32, true)
    this.view.setUint32(this.pos + 4, Math.floor(n / 2 ** 32), true)
    this.pos += 8
  }

  /** Overwrites a u32 that was written before. */
  patch32(at: number, n: number): void {
    this.view.setUint32(at, n, true)
  }

  number(x: number): void {
    this.need(9)
    if ((x | 0) === x && (x !== 0 || 1 / x > 0)) {
      this.u8[this.pos] = Wire.I32
      this.view.setInt32(this.pos + 1, x, true)
      this.pos += 5
    } else {
      this.u8[this.pos] = Wire.F64
      this.view.setFloat64(this.pos + 1, x, true)
      this.pos += 9
    }
  }

  string(s: string): void {
    const n = s.length
    this.need(5 + 2 * n)
    const head = this.pos
    if (n <= SHORT) {
      if (this.chars(s, head + 5)) {
        this.u8[head] = Wire.LATIN1
        this.view.setUint32(head + 1, n, true)
        this.pos = head + 5 + n
        return
      }
    } else if (!TWO_BYTE.test(s)) {
      this.u8[head] = Wire.LATIN1
      this.view.setUint32(head + 1, n, true)
      this.node.write(s, head + 5, n, 'latin1')
      this.pos = head + 5 + n
      return
    }
    this.u8[head] = Wire.UTF16
    this.view.setUint32(head + 1, n, true)
    this.node.write(s, head + 5, 2 * n, 'utf16le')
    this.pos = head + 5 + 2 * n
  }

  /** A string in the flat form. */
  text(s: string): void {
    const n = s.length
    if (n <= SHORT) {
      this.need(2 + n)
      const head = this.pos
      if (this.chars(s, head + 2)) {
        this.u8[head] = Wire.TEXT
        this.u8[head + 1] = n
        this.pos = head + 2 + n
        return
      }
    }
    this.string(s)
  }

  /** The characters of a short string from this place on, a byte each: false if some are beyond Latin-1. */
  private chars(s: string, at: number): boolean {
    const n = s.length
    const { u8 } = this
    let all = 0
    let i = 0
    for (; i + 3 < n; i += 4, at += 4) {
      const a = s.charCodeAt(i)
      const b = s.charCodeAt(i + 1)
      const c = s.charCodeAt(i + 2)
      const d = s.charCodeAt(i + 3)
      all |= a | b | c | d
      u8[at] = a
      u8[at + 1] = b
      u8[at + 2] = c
      u8[at + 3] = d
    }
    for (; i < n; i++) {
      const c = s.charCodeAt(i)
      all |= c
      u8[at++] = c
    }
    return all < 256
  }

  /** The string that {@link text} has written at this place, once more. */
  again(from: number, s: string): void {
    if (this.u8[from] !== Wire.TEXT) {
      this.string(s)
      return
    }
    const n = 2 + s.length
    this.need(n + 3)
    const { view, pos } = this
    for (let i = 0; i < n; i += 4) view.setInt32(pos + i, view.getInt32(from + i))
    this.pos = pos + n
  }

  bigint(x: bigint): void {
    const negative = x < 0n
    const size = negative ? -x : x
    if (size !== 0n && BigInt.asUintN(64, size) === size) {
      this.need(14)
      this.u8[this.pos] = Wire.BIGINT
      this.u8[this.pos + 1] = negative ? 1 : 0
      this.view.setUint32(this.pos + 2, 1, true)
      this.view.setBigUint64(this.pos + 6, size, true)
      this.pos += 14
      return
    }
    let hex = size.toString(16)
    const limbs = x === 0n ? 0 : Math.ceil(hex.length / 16)
    this.need(6 + 8 * limbs)
    this.u8[this.pos] = Wire.BIGINT
    this.u8[this.pos + 1] = negative ? 1 : 0
    this.view.setUint32(this.pos + 2, limbs, true)
    this.pos += 6
    hex = hex.padStart(16 * limbs, '0')
    for (let i = limbs - 1; i >= 0; i--) {
      this.view.setUint32(this.pos, parseInt(hex.slice(16 * i + 8, 16 * i + 16), 16), true)
      this.view.setUint32(this.pos + 4, parseInt(hex.slice(16 * i, 16 * i + 8), 16), true)
      this.pos += 8
    }
  }

  /** A property key: a string, or the key of a registered symbol. */
  key(key: string | symbol): void {
    if (typeof key === 'string') this.string(key)
    else {
      this.tag(Wire.SYMBOL)
      this.string(Symbol.keyFor(key)!)
    }
  }

  /** The head of an object in the flat form; {@link endFlat} ends it. Where it stands. */
  beginFlat(shape: number): number {
    this.need(FLAT_HEAD)
    const { u8, view, pos } = this
    u8[pos] = Wire.PACKED
    u8[pos + 1] = Packed.OBJECT
    view.setUint32(pos + 2, 0, true)
    u8[pos + PACKED_HEAD] = Wire.FLAT
    view.setUint32(pos + PACKED_HEAD + 1, shape, true)
    this.pos = pos + FLAT_HEAD
    return pos
  }

  /** The flat object that stands at `start` is whole. */
  endFlat(start: number): void {
    this.view.setUint32(start + 6, this.pos - start - PACKED_HEAD, true)
  }

  raw(bytes: Uint8Array): void {
    this.need(bytes.length)
    this.u8.set(bytes, this.pos)
    this.pos += bytes.length
  }
}

/** Keys that a reader remembers: a power of two. */
const NAMES = 256

/** The same string as V8 keeps it for property names. */
export function asName(s: string): string {
  // a hash table to the engine: an ordinary object would leave a kind of object behind for each name (0.3 µs instead of 1)
  const table = Object.create(null) as Record<string, number>
  table[s] = 0
  return Reflect.ownKeys(table)[0] as string
}

/** Reads the parts of the wire format. */
export class Reader {
  pos = 0
  private end = 0
  /** The buffer is a copy that nobody else writes to. */
  private own = false
  private whole: ArrayBufferLike | undefined
  private u8!: Uint8Array
  private view!: DataView
  private node!: Buffer
  /** Short keys that were read lately, each at a place that its bytes name. */
  private readonly names = repeated(NAMES, '')

  /** Reads on in this buffer at this place; what belongs to it ends there. */
  use(buffer: ArrayBufferLike, pos: number, end: number): void {
    this.end = end
    this.own = false
    if (this.whole !== buffer) {
      this.whole = buffer
      this.u8 = new Uint8Array(buffer)
      this.view = new DataView(buffer)
      this.node = Buffer.from(buffer)
    }
    this.pos = pos
  }

  /** Reads on in a copy: the buffer is about to be used for something else. */
  detach(): void {
    const { pos, end } = this
    if (this.own) return
    this.use(this.u8.buffer.slice(0, end), pos, end)
    this.own = true
  }

  tag(): number {
    return this.u8[this.pos++]
  }

  /** The byte so many after the next, which stays the next. */
  peek(further: number): number {
    return this.u8[this.pos + further]
  }

  u32(): number {
    const n = this.view.getUint32(this.pos, true)
    this.pos += 4
    return n
  }

  i32(): number {
    const n = this.view.getInt32(this.pos, true)
    this.pos += 4
    return n
  }

  /** An i32 with its tag. */
  int(): number {
    this.pos++
    return this.i32()
  }

  u64(): number {
    const n = this.view.getUint32(this.pos, true) + this.view.getUint32(this.pos + 4, true) * 2 ** 32
    this.pos += 8
    return n
  }

  f64(): number {
    const x = this.view.getFloat64(this.pos, true)
    this.pos += 8
    return x
  }

  latin1(): string {
    const n = this.u32()
    const from = this.pos
    this.pos = from + n
    if (n <= FEW) return few(this.u8, from, n)
    return this.node.latin1Slice(from, from + n)
  }

  private few(): string {
    const n = this.u8[this.pos++]
    const from = this.pos
    this.pos = from + n
    return n <= FEW ? few(this.u8, from, n) : this.node.latin1Slice(from, from + n)
  }

  utf16(): string {
    const n = this.u32()
    const from = this.pos
    this.pos = from + 2 * n
    return this.node.ucs2Slice(from, from + 2 * n)
  }

  bigint(): bigint {
    const negative = this.tag() === 1
    const limbs = this.u32()
    let hex = ''
    for (let i = limbs - 1; i >= 0; i--) {
      hex +=
        this.view
          .getUint32(this.pos + 8 * i + 4, true)
          .toString(16)
          .padStart(8, '0') +
        this.view
          .getUint32(this.pos + 8 * i, true)
          .toString(16)
          .padStart(8, '0')
    }
    this.pos += 8 * limbs
    const x = limbs === 0 ? 0n : BigInt('0x' + hex)
    return negative ? -x : x
  }

  /** A property key. */
  key(): string | symbol {
    const tag = this.tag()
    if (tag === Wire.LATIN1) return this.latin1()
    if (tag === Wire.UTF16) return this.utf16()
    return Symbol.for(this.text())
  }

  /** A member of the flat form: a number, a string, a boolean, null or undefined. */
  scalar(): number | string | boolean | null | undefined {
    switch (this.u8[this.pos++]) {
      case Wire.I32:
        return this.i32()
      case Wire.F64:
        return this.f64()
      case Wire.TEXT:
        return this.few()
      case Wire.LATIN1:
        return this.latin1()
      case Wire.UTF16:
        return this.utf16()
      case Wire.TRUE:
        return true
      case Wire.FALSE:
        return false
      case Wire.NULL:
        return null
      case Wire.UNDEFINED:
        return undefined
      default:
        throw fail('ERR_COHEAP_CORRUPT', 'a stored value cannot be decoded')
    }
  }

  /** A property key that is likely to be one of a few: no new string then, and one that V8 need not look up. */
  name(): string | symbol {
    const { u8, pos } = this
    if (u8[pos] !== Wire.LATIN1) return this.key()
    const n = this.view.getUint32(pos + 1, true)
    if (n === 0 || n > SHORT) return this.key()
    const from = pos + 5
    const place = (n * 31 + u8[from] * 7 + u8[from + n - 1] * 13 + u8[from + (n >> 1)]) & (NAMES - 1)
    const known = this.names[place]
    if (known.length === n) {
      let i = 0
      while (i < n && known.charCodeAt(i) === u8[from + i]) i++
      if (i === n) {
        this.pos = from + n
        return known
      }
    }
    return (this.names[place] = asName(this.key() as string))
  }

  /** A string with its tag. */
  text(): string {
    return this.tag() === Wire.LATIN1 ? this.latin1() : this.utf16()
  }

  /** A copy of the next `n` bytes. */
  bytes(n: number): ArrayBuffer {
    const from = this.pos
    this.pos = from + n
    return this.u8.buffer.slice(from, from + n) as ArrayBuffer
  }
}

declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string
    ucs2Slice(start?: number, end?: number): string
  }
}
