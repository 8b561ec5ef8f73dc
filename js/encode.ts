/**
 * A JavaScript value into the wire format. Iterative: a stack of frames instead of recursion, so that 10,000 levels
 * and more are fine. Containers are numbered as they appear, which keeps cycles and aliasing. Nothing is stored while
 * encoding, so a value that is refused half-way leaves no trace.
 *
 * A frozen object or instance or an error is *packed*: its content is one wire value of its own, made by a second encoder in
 * content mode, where frozen things and errors stand in line and everything live becomes a reference by index.
 */
import { types } from 'node:util'
import { ClassInfo, CodecInfo, NULL, PLAIN, registeredAt } from './classes.js'
import { fail } from './errors.js'
import { fitting } from './fields.js'
import { described, isIndex, isOf, isPlainArray, isRevoked, keySegment, unboxed } from './classify.js'
import { ARRAY, ERROR, MAP, OBJECT, REFERENCES, SET, Frames, type Frame } from './place.js'
import { FlatWriter, MOST_SHAPE_KEYS } from './flat.js'
import { errorParts } from './error-parts.js'
import { append, isAccessor, members } from './property.js'
import { Seen } from './seen.js'
import { sameKeys, type Kind } from './shapes.js'
import { valuesOf } from './struct.js'
import { ObjectFlag, Packed, Wire, Writer } from './wire.js'
import { BUFFER_KIND, classNameAt, hasBytes, kindOf, lengthOf } from './view-kinds.js'

/** An object in content whose keys others may have, in the same order. */
interface Like {
  readonly keys: readonly string[]
  readonly info: ClassInfo
  readonly id: number
}

/** What the encoder asks of the heap that it encodes for. */
export interface EncodeHooks {
  /** The handle of a live object of this heap, 0 for what is not shared; throws for another heap's. */
  handleOf(value: object, path: () => string): number
  /** The handle of the shared buffer that these bytes belong to, or 0. */
  bufferHandle(buffer: ArrayBufferLike, path: () => string): number
  /** The shape word for these keys; 0 or less: say the keys. What a shape could be made for is added to `missing`. */
  shapeOf(keys: readonly string[], info: ClassInfo, missing: Kind[]): number
  /** Grows whenever anything but an encoder uses staging. */
  stagingUses(): number
}

const descriptor = Object.getOwnPropertyDescriptor
const prototypeOf = Object.getPrototypeOf as (o: object) => object | null
const ownKeys = Object.keys
const ownSymbols = Object.getOwnPropertySymbols
const shown = Object.prototype.propertyIsEnumerable
const isFrozen = Object.isFrozen
const isArray = Array.isArray
const isProxy = types.isProxy
/** In the place of an object that there is not, or that must not be kept alive. */
const nothing = {}
const none: (string | symbol)[] = []
/** An array longer than this is looked through by its keys: it may be sparse. */
const LONG = 100_000

/** Writes values; see the head of this file. */
export class Encoder {
  readonly writer: Writer
  /** The encoder whose value is being encoded while a trap of a user's Proxy has this one encode another. */
  outer: Encoder | undefined
  /** What there is no shape for yet. */
  readonly missing: Kind[] = []
  private readonly hooks: EncodeHooks
  private readonly flat: FlatWriter
  private readonly content: boolean
  private readonly frames = new Frames()
  private readonly seen = new Seen()
  /** Content mode: the live members, and where each one stands. */
  private readonly references: object[] = []
  private readonly places: string[] = []
  private referenceIds: Map<object, number> | undefined
  private outside: (() => string) | undefined
  private inner: Encoder | undefined
  /** The encoder whose value this one writes a part of. */
  private above: Encoder | undefined
  /** The value of a codec that this one writes the content of. */
  private coding: object | undefined
  /** Content mode: the object whose keys were the last to be written as a whole, for tag 21. */
  private like: Like | undefined

  constructor(writer: Writer, hooks: EncodeHooks, content = false) {
    this.writer = writer
    this.hooks = hooks
    this.flat = new FlatWriter(writer, (keys, info) => hooks.shapeOf(keys, info, this.missing), hooks.stagingUses)
    this.content = content
  }

  /** Forgets the containers seen: the next value is a new one. */
  reset(): void {
    this.frames.depth = 0
    this.seen.clear()
    if (!this.content) return
    this.like = undefined
    if (this.references.length === 0) return
    this.references.length = 0
    this.places.length = 0
    this.referenceIds = undefined
  }

  /**
   * Writes one value. Several calls without {@link reset} between them make one value as to cycles and aliasing.
   * @throws ERR_COHEAP_UNSUPPORTED_TYPE with the path of what cannot be stored
   */
  encode(value: unknown): void {
    const { frames } = this
    const base = frames.depth
    try {
      this.put(value)
      while (frames.depth > base) this.step()
    } catch (error) {
      while (frames.depth > base) frames.pop()
      throw error
    }
  }

  /**
   * Writes a count, and each of the values as one of its own. Most messages are what goes in a run, and of them nothing
   * else is asked.
   */
  encodeMany(values: ArrayLike<unknown>): void {
    const { writer: w, flat } = this
    const n = values.length
    w.u32(n)
    for (let i = flat.run(values, 0); i < n; i = flat.run(values, i + 1)) {
      if (i < 0) return this.encodeEach(values)
      this.encode(values[i])
      this.reset()
    }
  }

  /** As {@link encodeMany}, from the start, and one after the other. */
  private encodeEach(values: ArrayLike<unknown>): void {
    const n = values.length
    this.writer.restart()
    this.writer.u32(n)
    for (let i = 0; i < n; i++) {
      this.encode(values[i])
      this.reset()
    }
  }

  /** Code of the user's is about to run, which may use staging. */
  private detach(): void {
    this.writer.detach()
    this.above?.detach()
  }

  /** Writes a value, or its head and a frame for its members: true then. */
  private put(value: unknown): boolean {
    const w = this.writer
    switch (typeof value) {
      case 'number':
        w.number(value)
        return false
      case 'string':
        w.string(value)
        return false
      case 'boolean':
        w.tag(value ? Wire.TRUE : Wire.FALSE)
        return false
      case 'undefined':
        w.tag(Wire.UNDEFINED)
        return false
      case 'bigint':
        w.bigint(value)
        return false
      case 'symbol':
        if (Symbol.keyFor(value) === undefined) throw this.refuse(`the symbol ${String(value)}`)
        w.key(value)
        return false
      case 'function':
        throw this.refuse('a function')
      case 'object':
        if (value === null) {
          w.tag(Wire.NULL)
          return false
        }
        return this.object(value)
    }
  }

  private object(value: object): boolean {
    const proxy = isProxy(value)
    if (proxy) {
      if (this.live(value)) return false
      this.detach()
      if (isRevoked(value)) throw this.refuse('a revoked Proxy')
    }
    // a live array is a Proxy
    if (isArray(value)) return this.anyArray(value)
    const proto = prototypeOf(value)
    if (!proxy) {
      if (proto === Object.prototype && !this.content && isFrozen(value) && this.flat.write(value)) return false
      if (this.live(value)) return false
    }
    if (proto === Object.prototype || proto === null || classNameAt(proto, 1) === 'Object') {
      if (proto === null && types.isModuleNamespaceObject(value)) throw this.refuse('a module namespace')
      return this.record(value, proto === null ? NULL : PLAIN, proxy)
    }
    const known = registeredAt(proto)
    if (known instanceof ClassInfo) {
      if (known.layout !== undefined && valuesOf(value) === undefined)
        throw this.refuse(`no instance of the struct ${known.layout.name}`)
      return this.record(value, known, proxy)
    }
    if (known !== undefined) return this.coded(value, known)
    return this.exotic(value, proto)
  }

  /** Writes a reference if this is a live object. */
  private live(value: object): boolean {
    const handle = this.hooks.handleOf(value, this.path)
    if (handle === 0) return false
    if (this.content) this.refer(value)
    else this.writer.tag32(Wire.LIVE, handle)
    return true
  }

  private anyArray(value: readonly unknown[]): boolean {
    if (!isPlainArray(value)) {
      const known = registeredAt(prototypeOf(value)!)
      if (known instanceof CodecInfo) return this.coded(value, known)
      throw this.refuse('an instance of a subclass of Array')
    }
    if (!isFrozen(value)) return this.content ? this.refer(value) : this.array(value)
    if (this.content) return this.array(value)
    return this.flat.writeArray(value) ? false : this.pack(Packed.ARRAY, value)
  }

  /** A plain object or an instance, frozen or not. */
  private record(value: object, info: ClassInfo, proxy: boolean): boolean {
    if (isFrozen(value)) return this.content ? this.plain(value, info, proxy) : this.pack(Packed.OBJECT, value)
    return this.content ? this.refer(value) : this.plain(value, info, proxy)
  }

  /** Everything that is neither array nor plain object. */
  private exotic(value: object, proto: object): boolean {
    if (ArrayBuffer.isView(value)) {
      const kind = kindOf(value)
      if (kind < 0) throw this.refuse(`an instance of a subclass of ${value.constructor.name}`)
      return this.content ? this.refer(value) : this.bytesView(value, kind)
    }
    if (types.isMap(value) && isOf(proto, Map, 2)) {
      if (this.content) return this.refer(value)
      if (this.back(value)) return false
      const members: unknown[] = []
      Map.prototype.forEach.call(value, (v, k) => append(members, k) && append(members, v))
      this.writer.tag32(Wire.MAP, this.number(value))
      this.writer.u32(members.length / 2)
      return this.push(MAP, value, members.length, members, false)
    }
    if (types.isSet(value) && isOf(proto, Set, 2)) {
      if (this.content) return this.refer(value)
      if (this.back(value)) return false
      const members: unknown[] = []
      Set.prototype.forEach.call(value, (v) => append(members, v))
      this.writer.tag32(Wire.SET, this.number(value))
      this.writer.u32(members.length)
      return this.push(SET, value, members.length, members, false)
    }
    if (types.isDate(value) && isOf(proto, Date, 2)) {
      this.leaf(Packed.DATE, () => this.writer.number(Date.prototype.getTime.call(value)))
      return false
    }
    if (types.isArrayBuffer(value) && isOf(proto, ArrayBuffer, 2)) {
      if (this.content) return this.refer(value)
      this.buffer(value)
      return false
    }
    if (types.isRegExp(value) && isOf(proto, RegExp, 2)) {
      const { source, flags } = value
      this.leaf(Packed.REGEXP, () => {
        this.writer.string(source)
        this.writer.string(flags)
      })
      return false
    }
    if (types.isNativeError(value) || value instanceof Error) {
      this.detach() // reading `stack` may run the user's Error.prepareStackTrace
      return this.content ? this.error(value) : this.pack(Packed.ERROR, value)
    }
    if (value instanceof URL && proto === URL.prototype) {
      this.leaf(Packed.URL, () => this.writer.string(value.href))
      return false
    }
    if (
      types.isBoxedPrimitive(value) &&
      /^(?:Number|String|Boolean|BigInt|Symbol)$/.test(classNameAt(proto, 2) ?? '')
    ) {
      const primitive = unboxed(value)
      if (typeof primitive === 'symbol' && Symbol.keyFor(primitive) === undefined) {
        throw this.refuse(`the symbol ${String(primitive)}`)
      }
      this.leaf(Packed.BOXED, () => this.put(primitive))
      return false
    }
    throw this.refuse(described(value, proto))
  }

  // containers

  private plain(value: object, info: ClassInfo, proxy: boolean): boolean {
    if (this.back(value)) return false
    const w = this.writer
    // the fields of a struct stand behind its instance
    const from = info.layout === undefined ? value : valuesOf(value)!
    const symbols = ownSymbols(from)
    const names = ownKeys(from)
    if (symbols.length === 0 && !proxy) {
      if (this.content) {
        let { like } = this
        const isLike = like !== undefined && info === like.info && sameKeys(like.keys, names)
        if (isLike) {
          w.tag32(Wire.LIKE, this.number(value))
          w.u32(like!.id)
        } else {
          like = info === NULL ? undefined : { keys: names, info, id: this.seen.count }
          this.objectHead(value, info, names.length)
        }
        this.pushObject(from, names, info, !isLike)
        // others can be like it when it is done: until then the reader does not know all keys
        this.frames.top.extra = like
        return true
      } else {
        const shape = names.length > MOST_SHAPE_KEYS ? 0 : this.hooks.shapeOf(names, info, this.missing)
        if (shape > 0) {
          w.tag32(Wire.SHAPED, this.number(value))
          w.u32(shape & 0xffff)
          w.u32(names.length)
          return this.pushObject(from, names, info, false)
        }
      }
      this.objectHead(value, info, names.length)
      return this.pushObject(from, names, info, true)
    }
    const keys: (string | symbol)[] = names
    this.addSymbols(value, symbols, keys)
    this.objectHead(value, info, keys.length)
    return this.pushObject(value, keys, info, true)
  }

  private objectHead(value: object, info: ClassInfo, count: number): void {
    const w = this.writer
    w.tag32(Wire.OBJECT, this.number(value))
    if (info.name === '') w.u8v(info.prototype === null ? ObjectFlag.NULL_PROTOTYPE : 0)
    else {
      w.u8v(ObjectFlag.INSTANCE)
      w.string(info.name)
    }
    w.u32(count)
  }

  private pushObject(value: object, keys: readonly (string | symbol)[], info: ClassInfo, named: boolean): boolean {
    this.push(OBJECT, value, keys.length, keys, named)
    this.frames.top.fields = info.fields
    return true
  }

  private addSymbols(value: object, symbols: readonly symbol[], keys: (string | symbol)[]): void {
    for (let i = 0; i < symbols.length; i++) {
      const symbol = symbols[i]
      if (symbol === members || !shown.call(value, symbol)) continue
      if (Symbol.keyFor(symbol) === undefined)
        throw this.refuse(`the symbol ${String(symbol)} as a key`, keySegment(symbol))
      append(keys, symbol)
    }
  }

  private array(value: readonly unknown[]): boolean {
    if (this.back(value)) return false
    const length = value.length
    // Object.keys gives the present indices first, in order; their number tells how dense it is
    const keys: (string | symbol)[] = ownKeys(value)
    const symbols = ownSymbols(value)
    let elements = length
    let extra = none
    // mostly it has its elements and nothing else
    const plain = keys.length === length && (length === 0 || keys[length - 1] === String(length - 1))
    if (!plain || symbols.length !== 0) {
      let present = 0
      while (present < keys.length && isIndex(keys[present] as string)) present++
      const sparse = length > LONG && present < length / 2
      if (sparse) elements = 0
      extra = sparse ? keys : keys.slice(present)
      this.addSymbols(value, symbols, extra)
    }
    this.writer.tag32(Wire.ARRAY, this.number(value))
    this.writer.u32(length)
    this.writer.u32(elements)
    return this.push(ARRAY, value, elements, extra, true)
  }

  private buffer(value: ArrayBuffer): void {
    const w = this.writer
    const handle = this.hooks.bufferHandle(value, this.path)
    if (handle !== 0) return w.tag32(Wire.LIVE, handle)
    if (this.back(value)) return
    let bytes: Uint8Array
    try {
      bytes = new Uint8Array(value)
    } catch {
      throw this.refuse('a detached ArrayBuffer')
    }
    w.tag32(Wire.BUFFER, this.number(value))
    w.u64(bytes.length)
    w.raw(bytes)
  }

  private bytesView(value: ArrayBufferView, kind: number): boolean {
    const buffer = value.buffer
    if (!types.isArrayBuffer(buffer)) throw this.refuse('a view of a SharedArrayBuffer')
    if (!hasBytes(value)) throw this.refuse('a view of a detached ArrayBuffer, or beyond the end of a resized one,')
    if (this.back(value)) return false
    const w = this.writer
    if (kind === BUFFER_KIND && this.hooks.bufferHandle(buffer, this.path) === 0) {
      // its own bytes only, never Node's pool
      const bytes = value as Buffer
      w.tag32(Wire.VIEW, this.number(value))
      w.u8v(kind)
      w.u64(0)
      w.u64(bytes.length)
      w.tag32(Wire.BUFFER, this.number(nothing))
      w.u64(bytes.length)
      w.raw(bytes)
      return false
    }
    w.tag32(Wire.VIEW, this.number(value))
    w.u8v(kind)
    w.u64(value.byteOffset)
    w.u64(lengthOf(value))
    this.buffer(buffer)
    return false
  }

  // packed values

  /** A by-value block with simple content. */
  private leaf(what: number, write: () => void): void {
    const w = this.writer
    w.tag(Wire.PACKED)
    w.u8v(what)
    w.u32(0)
    w.u32(0)
    const from = w.pos
    write()
    w.patch32(from - 4, w.pos - from)
  }

  /** A frozen object, a frozen array, an error: content apart, live members first. */
  private pack(what: number, value: object): boolean {
    this.inner ??= new Encoder(new Writer((n) => new ArrayBuffer(Math.max(n, 512))), this.hooks, true)
    const inner = this.inner
    this.inner = undefined // the traps of a user's Proxy may bring us here again
    inner.reset()
    inner.writer.pos = 0
    inner.outside = this.path
    inner.above = this
    inner.encode(value)
    const w = this.writer
    const references = inner.references
    const content = inner.writer.u8.subarray(0, inner.writer.pos)
    w.tag(Wire.PACKED)
    w.u8v(what)
    w.u32(references.length)
    let pushed = false
    if (references.length === 0) {
      w.u32(content.length)
      w.raw(content)
    } else {
      pushed = this.push(REFERENCES, value, references.length, references.slice(), false)
      this.frames.top.extra = { content: content.slice(), places: inner.places.slice() }
    }
    inner.reset()
    this.inner = inner
    return pushed
  }

  /** A value of a codec: its name and what the codec made of the value, with the live members apart. */
  private coded(value: object, codec: CodecInfo): boolean {
    if (this.isCoding(value)) throw this.refuse(`a value of the codec ${codec.name} that holds itself`)
    this.detach() // the codec may use the heap
    const references: object[] = []
    // all that is new stands in the content; live members count from 1
    const handleOf = (member: object, path: () => string): number => {
      if (this.hooks.handleOf(member, path) === 0) return 0
      const i = references.indexOf(member)
      return i >= 0 ? i + 1 : append(references, member)
    }
    const writer = new Writer((n) => new ArrayBuffer(Math.max(n, 256)))
    const inner = new Encoder(writer, { handleOf, bufferHandle: handleOf, shapeOf: () => 0, stagingUses: () => 0 })
    inner.outside = this.path
    inner.above = this
    inner.coding = value
    writer.string(codec.name)
    inner.encode(codec.encode(value))
    const w = this.writer
    w.tag(Wire.PACKED)
    w.u8v(Packed.CODED)
    w.u32(references.length)
    references.forEach((reference) => this.put(reference))
    w.u32(writer.pos)
    w.raw(writer.u8.subarray(0, writer.pos))
    return false
  }

  /** True if what is being written is a part of what the codec made of this value. */
  private isCoding(value: object): boolean {
    return this.coding === value || (this.above?.isCoding(value) ?? false)
  }

  private error(value: Error): boolean {
    if (this.back(value)) return false
    const w = this.writer
    const { kind, has, fields, keys } = errorParts(value)
    const fixed = fields.length
    this.addSymbols(value, ownSymbols(value), keys)
    w.tag32(Wire.ERROR, this.number(value))
    w.u8v(kind)
    w.u8v(has)
    this.push(ERROR, value, fixed, keys, false)
    this.frames.top.extra = fields
    return true
  }

  /** Content mode: a live member, by its index. */
  private refer(value: object): boolean {
    this.referenceIds ??= new Map()
    let index = this.referenceIds.get(value)
    if (index === undefined) {
      index = this.references.length
      this.referenceIds.set(value, index)
      append(this.references, value)
      append(this.places, this.frames.path())
    }
    this.writer.tag32(Wire.LIVE, index)
    return false
  }

  // identity

  /** Writes a back reference if this container has been seen. */
  private back(value: object): boolean {
    const id = this.seen.find(value)
    if (id < 0) return false
    this.writer.tag32(Wire.BACK, id)
    return true
  }

  private number(value: object): number {
    return this.seen.add(value)
  }

  // frames

  private push(kind: number, source: object, n: number, keys: readonly unknown[], named: boolean): boolean {
    this.frames.push(kind, source, n, keys, named)
    return true
  }

  /** Goes on with the innermost container until a member needs a frame of its own, or it is done. */
  private step(): void {
    const frame = this.frames.top
    switch (frame.kind) {
      case OBJECT:
        if (this.properties(frame)) return
        if (frame.extra !== undefined) this.like = frame.extra as Like
        break
      case ARRAY:
        if (this.elements(frame)) return
        break
      case MAP:
      case SET:
        while (frame.i < frame.n) if (this.put(frame.keys[frame.i++])) return
        break
      case REFERENCES: {
        while (frame.i < frame.n) if (this.put(frame.keys[frame.i++])) return
        const { content } = frame.extra as { content: Uint8Array }
        this.writer.u32(content.length)
        this.writer.raw(content)
        break
      }
      case ERROR:
        if (this.errorFields(frame)) return
        break
    }
    this.frames.pop()
  }

  private properties(frame: Frame): boolean {
    const { source, keys, named, n, fields } = frame
    while (frame.i < n) {
      const key = keys[frame.i++] as string | symbol
      const property = descriptor(source, key)
      if (property !== undefined && !isAccessor(property)) {
        if (named) this.writer.key(key)
        let value: unknown = property.value
        if (fields !== undefined) value = fitting(fields, key, value, this.path)
        if (this.put(value)) return true
      } else if (property !== undefined) throw this.refuse('an accessor property')
      else {
        // gone since its key was listed, by a Proxy of the user's
        if (named) this.writer.key(key)
        this.writer.tag(Wire.UNDEFINED)
      }
    }
    return false
  }

  private elements(frame: Frame): boolean {
    const { source, n, keys } = frame
    while (frame.i < n) {
      const property = descriptor(source, frame.i++)
      if (property === undefined) this.writer.tag(Wire.HOLE)
      else if (isAccessor(property)) throw this.refuse('an accessor property')
      else if (this.put(property.value)) return true
    }
    if (frame.i === n) this.writer.u32(keys.length)
    while (frame.i < n + keys.length) {
      const key = keys[frame.i++ - n] as string | symbol
      const property = descriptor(source, key)
      if (property !== undefined && isAccessor(property)) throw this.refuse('an accessor property')
      this.writer.key(key)
      if (this.put(property?.value)) return true
    }
    return false
  }

  /** The fixed fields of an error, then its own properties as an object's. */
  private errorFields(frame: Frame): boolean {
    const { source, n, keys } = frame
    const fields = frame.extra as unknown[]
    while (frame.i < n) if (this.put(fields[frame.i++])) return true
    if (frame.i === n) this.writer.u32(keys.length - n)
    while (frame.i < keys.length) {
      const key = keys[frame.i++] as string | symbol
      const property = descriptor(source, key)
      if (property !== undefined && isAccessor(property)) throw this.refuse('an accessor property')
      this.writer.key(key)
      if (this.put(property?.value)) return true
    }
    return false
  }

  // what goes wrong

  /** Where the member that is being written stands, `$` being the whole value. */
  readonly path = (): string => (this.outside?.() ?? '$') + this.frames.path()

  private refuse(what: string, further = ''): Error {
    return fail('ERR_COHEAP_UNSUPPORTED_TYPE', `${what} cannot be stored: ${this.path()}${further}`)
  }
}
