/**
 * A heap as this thread sees it, behind the public `Heap`: the port to the native side, what is known of
 * shapes, the way of values in and out, and the making of wrappers.
 */
import { NULL, PLAIN, classNamed, unregistered, type ClassInfo, type CodecInfo } from './classes.js'
import { CoheapError, codeOf, fail } from './errors.js'
import { Decoder } from './decode.js'
import { Encoder } from './encode.js'
import { canBeFlat } from './flat.js'
import { Gate, attachments, scope } from './scope.js'
import { KnownShapes, ShapeTree, UNKNOWN } from './shapes.js'
import { Kept } from './kept.js'
import { refuseStandIn, standIn, unreadable } from './stand-in.js'
import { Reader, Wire, Packed, Writer } from './wire.js'
import { In, Status, Tag, type Port } from './port.js'
import { append, blankList } from './property.js'
import { makeArray } from './array.js'
import { makeRecord, RecordTarget } from './record.js'
import { makeStruct, sealed } from './struct.js'
import { makeMap } from './map.js'
import { makeSet } from './set.js'
import { tagName, targetOf, tie, type Target } from './target.js'
import { fits, kindName, makeView } from './view-kinds.js'
import { Waits } from './waiting.js'
import { Windows } from './windows.js'

/** The version lines of Node.js on which reading without crossing is proved, on x64. */
const PROVED = ['20', '22', '24']
const readsNatively =
  process.env['COHEAP_READS'] === 'native' ||
  process.arch !== 'x64' ||
  !PROVED.includes(process.versions.node.split('.')[0] ?? '')

/** A staging buffer above this is given back as soon as little is asked for: the native side must know. */
const LARGE_STAGING = 16 << 20

/** True for what crosses as it is. */
export function isDirect(value: unknown): value is number | string | boolean {
  return typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean'
}

/** See the head of this file. */
export class Attachment {
  readonly port: Port
  readonly state: Uint32Array
  readonly nums: Float64Array
  /** {@link Gate} bits; 0: reads need not cross. */
  gate: number
  /** Grows when synchronous code ends: what an iterator has fetched ahead is old then. */
  epoch = 0
  private epochAsked = false
  readonly waits: Waits
  readonly windows: Windows
  readonly shapes: KnownShapes
  private readonly tree: ShapeTree
  private spare: Encoder | undefined
  private active: Encoder | undefined
  private buffer: ArrayBuffer | undefined
  private generation = 0
  /** Grows whenever anything but an encoder uses staging. */
  private stagingUses = 0
  private reader = new Reader()
  private decoder: Decoder
  /** A reader and its decoder, for what a codec reads while something else is being read. */
  private idle: { reader: Reader; decoder: Decoder } | undefined
  /** What the records of each shape are instances of: a shape's class never changes. */
  private readonly infos = new Map<number, ClassInfo>()
  /** The classes that the heap names, by their numbers. */
  private readonly classes = new Map<number, ClassInfo>()
  private readonly kept = new Kept()

  constructor(calls: Port) {
    // The engine keeps so many functions of one object in a hash table, but those of a prototype as it keeps methods:
    // each call is some 5 ns shorter [Node 20].
    const port = Object.create(calls) as Port
    this.port = port
    this.state = port.state
    this.nums = port.nums
    this.gate = (readsNatively ? Gate.NATIVE : 0) | (scope.attempt === undefined ? 0 : Gate.TRANSACTION)
    this.tree = new ShapeTree(port)
    this.waits = new Waits(port)
    this.windows = new Windows(port, () => this.done())
    this.shapes = new KnownShapes(port, this.windows, (bytes) => this.staging(bytes))
    this.decoder = this.newDecoder(this.reader)
    append(attachments, this)
  }

  /** The heap has been closed in this thread. */
  get closed(): boolean {
    return (this.gate & Gate.CLOSED) !== 0
  }

  /** Closes: every wait ends, every later use of the heap and its objects throws. */
  close(): void {
    if (this.closed) return
    this.waits.close()
    this.gate |= Gate.CLOSED
    this.port.close()
    attachments.splice(attachments.indexOf(this), 1)
    this.kept.clear()
  }

  // before and after a native call

  /** Before every native call on an object. */
  use(target: Target): void {
    if (this.gate !== 0) this.useGated(target)
  }

  private useGated(target: Target): void {
    this.check()
    scope.attempt?.hold(target)
  }

  /** Before every other native call. */
  check(): void {
    if ((this.gate & Gate.CLOSED) !== 0)
      throw fail('ERR_COHEAP_CLOSED', 'the heap has been closed', undefined, this.check)
    const attempt = scope.attempt
    if (attempt !== undefined && attempt.attachment !== this) {
      throw fail('ERR_COHEAP_WRONG_HEAP', "another heap's object inside a transaction: a transaction covers one heap")
    }
  }

  /** The value of a call that is done: as it is, or as the status says. ABSENT is undefined. */
  result(value: unknown): unknown {
    return this.state[0] === Status.OK ? value : this.settle()
  }

  /** As {@link result}, of a value that was read by itself: see {@link readable}. */
  alone(value: unknown): unknown {
    if (this.state[0] !== Status.OK) value = this.settle()
    return unreadable.count !== 0 && typeof value === 'object' && value !== null ? this.readable(value) : value
  }

  /** As {@link settle}, of a message that was taken: its block is gone, so a frozen one is not kept. */
  settleTaken(): unknown {
    if (this.state[0] !== Status.WIRE) return this.settle()
    this.answer()
    return this.decoder.value()
  }

  /** The value of a call whose status is not OK. */
  settle(): unknown {
    switch (this.state[0]) {
      case Status.NUMBER:
        return this.nums[In.VALUE]
      case Status.OBJECT:
        return this.wrap()
      case Status.WIRE:
        return this.decodeOne()
      case Status.ABSENT:
        return undefined
      default:
        throw this.fault()
    }
  }

  /** After a call without a value. */
  done(): void {
    if (this.state[0] !== Status.OK) throw this.fault()
  }

  /** The error of a call that failed. */
  fault(): Error {
    const status = this.state[0]
    if (status === Status.ABORTED) {
      return scope.attempt?.lose() ?? fail('ERR_COHEAP_ABORTED', 'the operation has been aborted')
    }
    if (status !== Status.ERROR) return fail('ERR_COHEAP_CORRUPT', `the native side answered ${status ?? -1}`)
    const code = codeOf(this.state[1])
    return fail(code, this.port.lastError(), undefined, this.fault)
  }

  // values in

  /** The live version of a value that was copied in, linked nowhere yet; a value that has none as it is. */
  share(value: unknown): unknown {
    this.check()
    const n = this.stage(value)
    return this.result(this.port.share(n))
  }

  /** Puts one value into staging: its bytes. */
  stage(value: unknown): number {
    const encoder = this.begin()
    try {
      encoder.encode(value)
    } finally {
      this.active = encoder.outer
    }
    return this.end(encoder)
  }

  /** Puts a key and a value into staging, where each one does not cross as it is: its bytes. */
  stagePair(key: unknown, value: unknown): number {
    const encoder = this.begin()
    try {
      if (!isDirect(key)) {
        encoder.encode(key)
        encoder.reset()
      }
      if (!isDirect(value)) encoder.encode(value)
    } finally {
      this.active = encoder.outer
    }
    return this.end(encoder)
  }

  /** Puts a count and the values into staging: the bytes. Each value is one of its own. */
  stageMany(values: ArrayLike<unknown>): number {
    const encoder = this.begin()
    try {
      encoder.encodeMany(values)
    } finally {
      this.active = encoder.outer
    }
    return this.end(encoder)
  }

  /** Puts raw words into staging: the bytes. */
  stageWords(words: Uint32Array): number {
    const n = words.byteLength
    new Uint32Array(this.staging(n), 0, words.length).set(words)
    return n
  }

  /** The staging buffer, for what is no value on its way in. */
  private staging(bytes: number): ArrayBuffer {
    this.stagingUses++
    return this.room(bytes)
  }

  /** The staging buffer, of at least so many bytes: mostly the one that it was, and no call then. */
  private room(bytes: number): ArrayBuffer {
    const { buffer, state } = this
    if (buffer !== undefined && state[In.STAGING] === this.generation && bytes <= buffer.byteLength) {
      if (buffer.byteLength <= LARGE_STAGING) return buffer
    }
    const present = this.port.staging(bytes)
    this.buffer = present
    this.generation = state[In.STAGING]
    return present
  }

  private begin(): Encoder {
    // a trap of a user's Proxy may come here while another value is being encoded
    for (let e = this.active; e !== undefined; e = e.outer) e.writer.detach()
    const encoder = this.spare ?? this.newEncoder()
    this.spare = undefined
    encoder.writer.restart()
    encoder.outer = this.active
    this.active = encoder
    return encoder
  }

  private end(encoder: Encoder): number {
    const { writer, missing } = encoder
    const n = writer.pos
    if (missing.length !== 0) this.tree.make(missing)
    if (writer.detached) new Uint8Array(this.room(n)).set(writer.u8.subarray(0, n))
    else {
      encoder.reset()
      this.spare = encoder
    }
    return n
  }

  private newEncoder(): Encoder {
    const writer = new Writer((n) => this.room(n))
    return new Encoder(writer, {
      handleOf: (value, path) => this.handleOf(value, path),
      bufferHandle: (buffer, path) => this.handleOf(buffer, path),
      shapeOf: (keys, info, missing) => this.tree.wordOf(keys, info, missing),
      stagingUses: () => this.stagingUses,
    })
  }

  private handleOf(value: object, path: () => string): number {
    const target = targetOf(value)
    if (target === undefined) return 0
    if (target.attachment !== this) {
      throw fail('ERR_COHEAP_WRONG_HEAP', `a ${tagName(target.tag)} of another heap cannot be stored: ${path()}`)
    }
    this.use(target)
    return target.h
  }

  // values out

  private newDecoder(reader: Reader): Decoder {
    return new Decoder(
      reader,
      (handle) => this.member(handle),
      (codec, stored) => this.decodeWith(codec, stored),
      (shape) => this.keysOf(shape),
    )
  }

  /** Runs a user's `decode`, which may use the heap, in the middle of the reading of an answer. */
  private decodeWith(codec: CodecInfo, stored: unknown): unknown {
    const { reader, decoder } = this
    let other = this.idle
    this.idle = undefined
    if (other === undefined) {
      const fresh = new Reader()
      other = { reader: fresh, decoder: this.newDecoder(fresh) }
    }
    this.reader = other.reader
    this.decoder = other.decoder
    try {
      return codec.decode(stored)
    } finally {
      this.reader = reader
      this.decoder = decoder
      this.idle = other
    }
  }

  /**
   * A value that was read by itself.
   * @throws ERR_COHEAP_UNREGISTERED_CLASS, ERR_COHEAP_DESTROYED where there is a stand-in only
   */
  readable(value: object): object {
    if (unreadable.count === 0) return value
    refuseStandIn(value)
    const target = targetOf(value)
    if (target instanceof RecordTarget && target.info.prototype === undefined) throw unregistered(target.info.name)
    return value
  }

  /** A live object among others that are read: a stand-in if it has been destroyed and cannot be wrapped. */
  private member(handle: number): unknown {
    try {
      return this.wrapperOf(handle)
    } catch (error) {
      if (!(error instanceof CoheapError) || error.code !== 'ERR_COHEAP_DESTROYED') throw error
      const { message } = error
      return standIn('[destroyed]', () => fail('ERR_COHEAP_DESTROYED', message))
    }
  }

  /** What a record with this shape word is an instance of. */
  private infoOf(word: number): ClassInfo {
    const shape = word & 0xffff
    let info = this.infos.get(shape)
    if (info === undefined) {
      const { port, state } = this
      port.shapeClass(word)
      this.done()
      const nullPrototype = state[4] === 1
      const number = state[5]
      info = number !== 0 ? this.classOf(number) : nullPrototype ? NULL : PLAIN
      this.infos.set(shape, info)
    }
    return info
  }

  /** The class of an object, by the number that the heap gives it. */
  private classOf(number: number): ClassInfo {
    let info = this.classes.get(number)
    if (info === undefined) {
      const name = this.port.className(number)
      this.done()
      info = classNamed(name)
      this.classes.set(number, info)
    }
    return info
  }

  /** The values that a WIRE answer with a count holds; holes as {@link HOLE}. */
  decodeMany(): unknown[] {
    const r = this.answer()
    const n = r.u32()
    const values = blankList<unknown>(n)
    const { decoder } = this
    for (let i = 0; i < n; i++) {
      const tag = r.peek(0)
      if (tag === Wire.I32) values[i] = r.int()
      else {
        decoder.reset()
        values[i] = decoder.valueOrHole()
      }
    }
    return values
  }

  /** Keys and values in turn, of a WIRE answer with a count. */
  decodePairs(): unknown[] {
    const r = this.answer()
    const n = 2 * r.u32()
    const values = blankList<unknown>(n)
    for (let i = 0; i < n; i++) {
      this.decoder.reset()
      values[i] = this.decoder.valueOrHole()
    }
    return values
  }

  /** Insertion numbers, and keys (and values: stride 2) in turn, of a WIRE answer of `mapEntries`. */
  decodeEntries(stride: 1 | 2): { values: unknown[]; numbers: Float64Array } {
    const r = this.answer()
    const n = r.u32()
    const values = blankList<unknown>(n * stride)
    const numbers = new Float64Array(n)
    for (let i = 0, j = 0; i < n; i++) {
      numbers[i] = r.u64()
      for (let k = 0; k < stride; k++) {
        this.decoder.reset()
        values[j++] = this.decoder.value()
      }
    }
    return { values, numbers }
  }

  /** The keys of a WIRE answer with a count; each is there once, as a Proxy must have it. */
  decodeKeys(): (string | symbol)[] {
    const r = this.answer()
    const n = r.u32()
    const keys = blankList<string | symbol>(n)
    for (let i = 0; i < n; i++) keys[i] = r.key()
    if (new Set(keys).size !== n) throw fail('ERR_COHEAP_CORRUPT', 'a property that is there twice')
    return keys
  }

  /** The numbers of a WIRE answer with a count. */
  decodeNumbers(): number[] {
    const r = this.answer()
    const n = r.u32()
    const numbers = blankList<number>(n)
    for (let i = 0; i < n; i++) numbers[i] = r.f64()
    return numbers
  }

  private answer(): Reader {
    if (this.state[0] !== Status.WIRE) throw this.fault()
    this.decoder.reset()
    this.reader.use(this.staging(this.state[1]), 0, this.state[1])
    return this.reader
  }

  /** The one value of a WIRE answer, plain through and through. */
  decodePlain(): unknown {
    this.answer()
    this.decoder.bare = true
    try {
      return this.decoder.value()
    } finally {
      this.decoder.bare = false
    }
  }

  /** Plain copies of live objects, which have in common what these have. */
  plainOf(targets: readonly Target[]): unknown[] {
    targets.forEach((t) => this.use(t))
    this.stageWords(Uint32Array.from(targets, (t) => t.h))
    this.port.snapshotAll(targets.length)
    const n = this.answer().u32()
    this.decoder.bare = true
    try {
      const values: unknown[] = []
      for (let i = 0; i < n; i++) append(values, this.decoder.value())
      return values
    } finally {
      this.decoder.bare = false
    }
  }

  /** The one value of a WIRE answer. */
  decodeOne(): unknown {
    const bytes = this.state[1]
    const at = this.nums[4]
    const version = this.nums[5]
    const r = this.answer()
    if (at === 0 || !isFrozenContent(r)) return this.decoder.value()
    const kept = this.kept.find(at, version)
    if (kept !== undefined) return kept
    const missing = unreadable.count
    const value = this.decoder.value()
    // what could not be read today can be read once its class is registered
    if (unreadable.count === missing) this.kept.keep(at, version, bytes, value as object)
    return value
  }

  // wrappers

  /** The wrapper of a handle, made if there is none. */
  wrapperOf(handle: number): unknown {
    return this.result(this.port.wrapperOf(handle))
  }

  /** Makes the wrapper that an OBJECT answer asks for. */
  wrap(): object {
    const { state, nums } = this
    const h = state[1]
    const tag = state[2]
    const word1 = state[3]
    const at = nums[3]
    let target: Target
    switch (tag) {
      case Tag.RECORD: {
        const info = this.infoOf(word1)
        if (info.layout !== undefined) return sealed(this.adopt(makeStruct(this, h, at, word1, info)))
        target = makeRecord(this, h, at, word1, info)
        break
      }
      case Tag.ARRAY:
        target = makeArray(this, h, at)
        break
      case Tag.MAP:
        target = makeMap(this, h, at)
        break
      case Tag.SET:
        target = makeSet(this, h, at)
        break
      case Tag.BUFFER:
        return this.wrapBytes(h, tag, at, this.port.arrayBuffer(h))
      case Tag.VIEW: {
        const kind = state[4]
        const offset = nums[4]
        const length = nums[5]
        const buffer = this.wrapperOf(state[5]) as ArrayBuffer
        if (!fits(kind, buffer, offset, length)) throw fail('ERR_COHEAP_CORRUPT', 'a view beyond its buffer')
        const view = makeView(kind, buffer, offset, length)
        if (view === undefined) {
          throw fail('ERR_COHEAP_UNSUPPORTED_RUNTIME', `this version of Node.js has no ${kindName(kind)}`)
        }
        return this.wrapBytes(h, tag, at, view)
      }
      default:
        throw fail('ERR_COHEAP_CORRUPT', `an object of the unknown kind ${tag}`)
    }
    return this.adopt(target)
  }

  private wrapBytes(h: number, tag: number, at: number, bytes: object): object {
    this.done()
    const target: Target = { attachment: this, h, tag, offset: at, self: bytes, proxied: false, mark: 0, writes: 0 }
    // the table must not keep the bytes: the target of bytes is only ever reached through them
    return this.adopt(target)
  }

  private adopt(target: Target): object {
    tie(target.self, target)
    this.port.adopt(target.h, target.self)
    if (this.state[0] !== Status.OK) throw this.fault()
    const attempt = scope.attempt
    if (attempt !== undefined) {
      attempt.distrust(target)
      attempt.hold(target)
    }
    return target.self
  }

  /** The wrapper may stand for an object that was undone: no reading without crossing until a call has answered. */
  distrust(target: Target): void {
    if (target instanceof RecordTarget) target.shape = UNKNOWN
    else target.mark = -1
  }

  /** The keys of objects in the flat form with this shape, while an answer is being read. */
  private keysOf(word: number): readonly string[] | undefined {
    if (!this.shapes.has(word)) this.reader.detach()
    const shape = this.shapes.get(word)
    return shape !== UNKNOWN && canBeFlat(shape.keys) ? shape.keys : undefined
  }

  /** What was fetched ahead in this stretch of synchronous code is old when this grows. */
  present(): number {
    if (!this.epochAsked) {
      this.epochAsked = true
      queueMicrotask(() => {
        this.epochAsked = false
        this.epoch++
      })
    }
    return this.epoch
  }
}

/** True if the wire begins with a frozen object or array. */
function isFrozenContent(r: Reader): boolean {
  if (r.peek(0) !== Wire.PACKED) return false
  const what = r.peek(1)
  return what === Packed.OBJECT || what === Packed.ARRAY
}
