/**
 * {@link Heap}: opening, closing and everything that one does with a heap as a whole.
 */
import { EventEmitter } from 'node:events'
import { randomBytes } from 'node:crypto'
import { threadId } from 'node:worker_threads'
import { Attachment, isDirect } from './attachment.js'
import { makeChannel, type Channel, type ChannelOptions } from './channel.js'
import { CoheapError, calling, fail, wrongType } from './errors.js'
import { shown } from './inspect.js'
import { native } from './native.js'
import type { NativeOptions, Port } from './port.js'
import { scope } from './scope.js'
import {
  LARGEST,
  SMALLEST,
  bytes,
  checkedName,
  flag,
  folder,
  milliseconds,
  optionsOf,
  whole,
  type Size,
} from './sizes.js'
import {
  makeTransaction,
  transaction,
  transactionAsync,
  type Transaction,
  type TransactionOptions,
} from './transaction.js'
import { tagName, targetOf, type Target } from './target.js'
import type { Shared } from './types.js'
import { kindOfClass, type TypedArray } from './view-kinds.js'
import { delay, limitsOf, timedOut, type Wait } from './waiting.js'

const custom = Symbol.for('nodejs.util.inspect.custom')

/** How a heap is made and used. Those who open one need none; `patience` and `dir` are each opener's own. */
export interface HeapOptions {
  /** Bytes committed at once. Default `'4MiB'`. */
  size?: Size | undefined
  /** The most bytes that it grows to, committed as it grows; 1 MiB to 64 GiB. Default `'1GiB'`. */
  maxSize?: Size | undefined
  /** Permission bits: 0o600 (default), or 0o660 to let the group in. */
  mode?: number | undefined
  /** It survives its last leaver, until `Heap.unlink`. Not on Windows. Default false. */
  persist?: boolean | undefined
  /** The most threads that can use it at once. Default 512, or one for each 16 KiB of a `maxSize` below 8 MiB. */
  maxParticipants?: number | undefined
  /** Milliseconds that a plain write waits for a transaction that it meets before it aborts it. Default 10. */
  patience?: number | undefined
  /** A folder to hold the segment, for a tmpfs of one's own. Default: the system's. */
  dir?: string | undefined
}

/** A heap as `Heap.list()` shows it. */
export interface HeapInfo {
  name: string
  /** Bytes. */
  size: number
  pids: number[]
  /** All its users have died: `create` takes its name over. */
  stale: boolean
  createdAt: Date
}

/** A thread that uses a heap. */
export interface ParticipantInfo {
  id: number
  pid: number
  threadId: number
  since: Date
  alive: boolean
  /** It is this thread. */
  self: boolean
}

type NativeInfo = Omit<ParticipantInfo, 'since'> & { since: number }

function participantInfo(info: NativeInfo): ParticipantInfo {
  return { ...info, since: new Date(info.since) }
}

const DIED = 'participant-died'

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as Node's own types have it
type Listener = (...args: any[]) => void

/** Figures of a heap; sizes in bytes. */
export interface HeapStats {
  capacity: number
  committed: number
  /** Bytes of live blocks. */
  used: number
  free: number
  objects: number
  participants: number
  commits: number
  aborts: number
  collections: number
  collecting: boolean
  longestPauseMs: number
}

/** Something that `verify()` found wrong. */
export interface Violation {
  /** Offset in the segment. */
  at: number
  what: string
}

/** Names a live object: plain data that goes by any means to whoever has the heap open. It keeps nothing alive. */
export interface Ref {
  /** Which heap. */
  heap: string
  /** Where in it, in bytes. */
  at: number
  /** Which of the objects that have stood there. */
  birth: number
}

/** The share of a small heap that one participant's place in the tables may have. */
const BYTES_A_PARTICIPANT = 16 * 1024

function isWhole(x: unknown, below: number): x is number {
  return typeof x === 'number' && Number.isInteger(x) && x >= 0 && x < below
}

const CREATE = 0
const OPEN = 1
const OPEN_OR_CREATE = 2

function nativeOptions(options: HeapOptions | undefined): NativeOptions {
  const o = optionsOf(options)
  const maxSize = o.maxSize === undefined ? 2 ** 30 : bytes(o.maxSize, 'maxSize')
  if (maxSize < SMALLEST || maxSize > LARGEST) {
    throw fail('ERR_COHEAP_INVALID_ARGUMENT', `maxSize must be from 1MiB to 64GiB: ${maxSize}`, { range: true })
  }
  const size = o.size === undefined ? Math.min(4 * 2 ** 20, maxSize) : bytes(o.size, 'size')
  if (size > maxSize) {
    throw fail('ERR_COHEAP_INVALID_ARGUMENT', `size is larger than maxSize: ${size}`, { range: true })
  }
  const dir = folder(o.dir)
  return {
    size,
    maxSize,
    mode: whole(o.mode, 'mode', 0, 0o777, 0o600),
    persist: flag(o.persist, 'persist', false),
    maxParticipants: whole(
      o.maxParticipants,
      'maxParticipants',
      1,
      1022,
      // their tables must not take a small heap
      Math.min(512, Math.floor(maxSize / BYTES_A_PARTICIPANT)),
    ),
    patience: Math.min(milliseconds(o.patience, 'patience', 10), 2 ** 31),
    dir,
    threadId,
  }
}

/** The heaps that this thread has open, by their ports. */
const heaps = new WeakMap<Port, Heap>()

const token = Symbol('Heap')

/**
 * A heap of live objects, shared by all who open it by its name. Opened a second time in one thread it is the same
 * `Heap`, counted: it closes with the last `close()`.
 *
 * @typeParam Root the shape of {@link Heap.root}
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the contract: an untyped heap is as free as JavaScript
export class Heap<Root extends object = any> extends EventEmitter {
  readonly #a: Attachment
  readonly #name: string
  readonly #channels = new Map<string, Channel>()
  #root: object | undefined
  #opens = 1
  #watching = false

  private constructor(key: unknown, name: string, port: Port) {
    if (key !== token) throw new TypeError('Illegal constructor: use Heap.create, Heap.open or Heap.openOrCreate')
    super()
    this.#name = name
    this.#a = new Attachment(port)
    heaps.set(port, this)
  }

  static #attach(mode: number, name: string, options: HeapOptions | undefined): Heap {
    const checked = nativeOptions(options)
    const module = native()
    const port = calling(() => module.attach(mode, name, checked))
    const heap = heaps.get(port)
    if (heap !== undefined && !heap.#a.closed) {
      heap.#opens++
      return heap
    }
    return new Heap(token, name, port)
  }

  /**
   * Makes a new heap. May wait for other processes that make or remove heaps at this moment.
   * @param name 1 to 64 of `A–Z a–z 0–9 . _ -`, not starting with a dot; made up if absent
   * @throws ERR_COHEAP_EXISTS, ERR_COHEAP_OUT_OF_MEMORY (the memory file system is full), ERR_COHEAP_INVALID_ARGUMENT,
   * ERR_COHEAP_PERMISSION
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as the class
  static create<R extends object = any>(name?: string, options?: HeapOptions): Heap<R> {
    const chosen = name === undefined ? `coheap-${randomBytes(8).toString('hex')}` : checkedName(name, 'name')
    return Heap.#attach(CREATE, chosen, options) as Heap<R>
  }

  /**
   * Opens a heap that exists.
   * @throws ERR_COHEAP_NOT_FOUND, ERR_COHEAP_VERSION, ERR_COHEAP_PERMISSION, ERR_COHEAP_CORRUPT,
   * ERR_COHEAP_TOO_MANY_PARTICIPANTS
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as the class
  static open<R extends object = any>(name: string, options?: HeapOptions): Heap<R> {
    return Heap.#attach(OPEN, checkedName(name, 'name'), options) as Heap<R>
  }

  /** Opens a heap, or makes it if there is none. Any number of processes may do so at once: one makes it. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as the class
  static openOrCreate<R extends object = any>(name: string, options?: HeapOptions): Heap<R> {
    return Heap.#attach(OPEN_OR_CREATE, checkedName(name, 'name'), options) as Heap<R>
  }

  /** Opens a heap, waiting until it exists. Looks every 20 ms at the most. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as the class
  static async connect<R extends object = any>(name: string, options?: HeapOptions & Wait): Promise<Heap<R>> {
    const limits = limitsOf(options)
    limits.signal?.throwIfAborted()
    for (let pause = 1; ; pause = Math.min(2 * pause, 20)) {
      try {
        return Heap.open<R>(name, options)
      } catch (error) {
        if (!(error instanceof CoheapError) || error.code !== 'ERR_COHEAP_NOT_FOUND') throw error
      }
      if (performance.now() >= limits.deadline) throw timedOut(`connecting to the heap ${name}`)
      await delay(pause, limits)
    }
  }

  /** Every heap that this user may see; stale ones are marked. */
  static list(options?: { dir?: string | undefined }): HeapInfo[] {
    const dir = folder(optionsOf(options).dir)
    const module = native()
    const list = JSON.parse(calling(() => module.list(dir))) as (Omit<HeapInfo, 'createdAt'> & {
      createdAt: number
    })[]
    return list.map((info) => ({ ...info, createdAt: new Date(info.createdAt) }))
  }

  /**
   * Removes a name: true if there was one. The name is free at once; a heap in use lives until its last user leaves.
   */
  static unlink(name: string, options?: { dir?: string | undefined }): boolean {
    const dir = folder(optionsOf(options).dir)
    const chosen = checkedName(name, 'name')
    const module = native()
    return calling(() => module.unlink(chosen, dir))
  }

  /** The name that it was opened by; readable after `close()` too. */
  get name(): string {
    return this.#name
  }

  /** A shared plain object, the same for everyone who opens the heap; it cannot be replaced or destroyed. */
  get root(): Root {
    const a = this.#a
    if (this.#root === undefined || a.gate !== 0) {
      a.check()
      this.#root = a.result(a.port.root()) as object
    }
    return this.#root as Root
  }

  /**
   * Copies a value in, linked nowhere yet, and gives its live version; what has none (numbers, dates, frozen objects)
   * as it reads back. A live object of this heap is itself.
   * @throws ERR_COHEAP_UNSUPPORTED_TYPE, ERR_COHEAP_OUT_OF_MEMORY, ERR_COHEAP_WRONG_HEAP
   */
  share<T>(value: T): Shared<T> {
    this.#a.check()
    return (isDirect(value) || value === undefined || value === null ? value : this.#a.share(value)) as Shared<T>
  }

  /**
   * A zeroed typed array in the heap, linked nowhere yet: fill it, then store or put it; nothing is copied then.
   * @throws ERR_COHEAP_OUT_OF_MEMORY, ERR_COHEAP_INVALID_ARGUMENT
   */
  alloc<T extends TypedArray>(Type: new (length: number) => T, length: number): T {
    const a = this.#a
    a.check()
    const kind = kindOfClass(Type)
    if (kind < 0) throw wrongType('alloc needs the class of a typed array')
    if (length === undefined) throw wrongType('alloc needs a length')
    a.port.alloc(kind, whole(length, 'length', 0, 2 ** 36, 0))
    return a.settle() as T
  }

  /**
   * Frees an object now: what it holds by value, but not the objects that it refers to. Every later use of it, in any
   * process, throws ERR_COHEAP_DESTROYED; properties that hold it still exist and can be overwritten. The bytes of an
   * `ArrayBuffer` stay as long as anybody has them; a typed array goes without its buffer. Part of the running
   * transaction, if there is one.
   * @throws ERR_COHEAP_DESTROYED, ERR_COHEAP_WRONG_HEAP; ERR_COHEAP_INVALID_ARGUMENT for the root and for what is not shared
   */
  destroy(value: object): void {
    const t = this.#target(value, 'destroy')
    t.writes++
    this.#a.port.destroy(t.h)
    this.#a.done()
  }

  /**
   * What names a live object, for {@link deref}. Small plain data: by JSON, IPC, a database. It keeps nothing alive.
   * @throws ERR_COHEAP_DESTROYED, ERR_COHEAP_WRONG_HEAP; ERR_COHEAP_INVALID_ARGUMENT for what is not shared
   */
  ref(value: object): Ref {
    const t = this.#target(value, 'ref')
    const { port, state, nums } = this.#a
    port.refOf(t.h)
    this.#a.done()
    return { heap: port.identity, at: nums[3], birth: state[1] }
  }

  /**
   * The live object that a {@link ref} names, in any process. May wait up to `patience` for a transaction that changes
   * the object.
   * @throws ERR_COHEAP_DESTROYED if it is gone, ERR_COHEAP_WRONG_HEAP, ERR_COHEAP_INVALID_ARGUMENT for what is no ref
   */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller says what it is
  deref<T = unknown>(ref: Ref): T {
    const a = this.#a
    a.check()
    const { heap, at, birth } = optionsOf<Ref>(ref, 'a ref')
    if (typeof heap !== 'string' || !isWhole(at, 2 ** 47) || !isWhole(birth, 2 ** 16)) {
      throw wrongType('a ref is what heap.ref(object) gave')
    }
    if (heap !== a.port.identity) throw fail('ERR_COHEAP_WRONG_HEAP', 'a ref to an object of another heap')
    return a.alone(a.port.deref(at, birth)) as T
  }

  /** What stands behind a live object of this heap, in use now. */
  #target(value: unknown, method: string): Target {
    const a = this.#a
    const target = value !== null && typeof value === 'object' ? targetOf(value) : undefined
    if (target === undefined) {
      a.check()
      throw wrongType(`${method} needs a shared object: what is not stored, or is stored by value, is none`)
    }
    if (target.attachment !== a) {
      throw fail('ERR_COHEAP_WRONG_HEAP', `${method} of a ${tagName(target.tag)} of another heap`)
    }
    a.use(target)
    return target
  }

  /**
   * Runs a function as one transaction: all that it changes becomes visible at once, or nothing. It runs again when
   * another transaction was in the way; what it throws undoes it. Inside another transaction it joins that one. May
   * wait for an older transaction that it meets.
   * @throws ERR_COHEAP_ASYNC_TRANSACTION, ERR_COHEAP_RETRIES_EXHAUSTED, ERR_COHEAP_TIMEOUT, ERR_COHEAP_WRONG_HEAP,
   * ERR_COHEAP_OUT_OF_MEMORY, whatever the function throws
   */
  transaction<T>(body: () => T, options?: TransactionOptions): T {
    return transaction(this.#a, body, options)
  }

  /** As {@link transaction}, but the waits between attempts leave the event loop free. */
  transactionAsync<T>(body: () => T, options?: TransactionOptions & Wait): Promise<T> {
    return transactionAsync(this.#a, body, options)
  }

  /** Begins an explicit transaction, for steps spread over time. Never waits. */
  begin(options?: TransactionOptions): Transaction {
    return makeTransaction(this.#a, options)
  }

  /**
   * The channel of this name. The first to name it decides on its capacity and order.
   * @throws ERR_COHEAP_INVALID_ARGUMENT for another wish than the first
   */
  channel<T = unknown>(name: string, options?: ChannelOptions): Channel<T> {
    this.#a.check()
    const chosen = checkedName(name, 'name')
    const o = optionsOf(options)
    const known = this.#channels.get(chosen)
    if (known !== undefined && options === undefined) return known as Channel<T>
    const channel = makeChannel(this.#a, chosen, o) as Channel<T>
    if (known !== undefined) return known as Channel<T>
    this.#channels.set(chosen, channel as Channel)
    return channel
  }

  /** Figures: sizes, objects, commits. Never blocks. */
  stats(): HeapStats {
    return JSON.parse(this.#cold((port) => port.stats())) as HeapStats
  }

  /** The threads that use the heap. */
  participants(): ParticipantInfo[] {
    return (JSON.parse(this.#cold((port) => port.participants())) as NativeInfo[]).map(participantInfo)
  }

  // Listening for 'participant-died' starts a thread that watches; it ends with the last listener.

  /**
   * Emits `'participant-died'`, with its {@link ParticipantInfo}, for each thread that ends without leaving the heap
   * from then on: in every process that listens. Listening does not keep the process alive.
   */
  override on(event: 'participant-died', listener: (info: ParticipantInfo) => void): this
  override on(event: string | symbol, listener: Listener): this
  override on(event: string | symbol, listener: Listener): this {
    this.#watch(event, listener)
    return super.on(event, listener)
  }

  /** As {@link on}. */
  override addListener(event: string | symbol, listener: Listener): this {
    return this.on(event, listener)
  }

  /** As {@link on}, before those that listen already. */
  override prependListener(event: string | symbol, listener: Listener): this {
    this.#watch(event, listener)
    return super.prependListener(event, listener)
  }

  /** Takes a listener away. */
  override removeListener(event: string | symbol, listener: Listener): this {
    super.removeListener(event, listener)
    this.#unwatch()
    return this
  }

  /** As {@link removeListener}. */
  override off(event: string | symbol, listener: Listener): this {
    return this.removeListener(event, listener)
  }

  /** Takes all listeners away, or those of one event. */
  override removeAllListeners(event?: string | symbol): this {
    if (event === undefined) super.removeAllListeners()
    else super.removeAllListeners(event)
    this.#unwatch()
    return this
  }

  #watch(event: string | symbol, listener: Listener): void {
    const a = this.#a
    // what is no function is refused by Node
    if (event !== DIED || this.#watching || a.closed || typeof listener !== 'function') return
    a.port.watchDeaths((text) => {
      const info = participantInfo(JSON.parse(text) as NativeInfo)
      // Node would swallow what a listener throws here, in a call from native code
      process.nextTick(() => this.#watching && this.emit(DIED, info))
    })
    a.done()
    this.#watching = true
  }

  #unwatch(): void {
    if (!this.#watching || this.listenerCount(DIED) > 0) return
    this.#watching = false
    if (!this.#a.closed) this.#a.port.unwatchDeaths()
  }

  /** Walks and checks the whole segment; others may use it meanwhile. Takes time in proportion to its size. */
  verify(): Violation[] {
    return JSON.parse(this.#cold((port) => port.verify())) as Violation[]
  }

  #cold(call: (port: Port) => string): string {
    const a = this.#a
    a.check()
    const text = calling(() => call(a.port))
    a.done()
    return text
  }

  /**
   * Leaves the heap, with the last of as many calls as there were opens in this thread; calls beyond do nothing.
   * Later use of the heap or its objects throws ERR_COHEAP_CLOSED; waiting calls reject with it.
   */
  close(): void {
    if (this.#a.closed || this.#opens === 0) return
    if (scope.attempt?.attachment === this.#a) throw wrongType('a heap cannot be closed inside its own transaction')
    if (--this.#opens > 0) return
    this.#root = undefined
    this.#channels.clear()
    this.#watching = false
    this.#a.close()
  }

  /** True once it has been closed in this thread. */
  get closed(): boolean {
    return this.#a.closed
  }

  /** As {@link close}. */
  [Symbol.dispose](): void {
    this.close()
  }

  /** `Heap { name: 'shop', root: Shared { … } }` instead of the parts of an EventEmitter. */
  [custom](depth: number, options: object, inspect: unknown): unknown {
    const { name, closed } = this
    return shown(
      { self: this },
      'Heap',
      depth,
      options,
      () => (closed ? { name, closed } : { name, root: this.root }),
      inspect,
    )
  }
}
