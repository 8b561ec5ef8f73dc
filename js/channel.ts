/**
 * Channels: messages between any number of producers and consumers. The ring is native; here are the promises, the
 * order among this thread's own waiting calls, and the types.
 */
import { isDirect, type Attachment } from './attachment.js'
import { fail, outOfRange, wrongType } from './errors.js'
import { In, Status } from './port.js'
import { append } from './property.js'
import { whole } from './sizes.js'
import { scope } from './scope.js'
import { SLICE, refuseInside } from './transaction.js'
import type { Shared } from './types.js'
import { limitsOf, timedOut, Waiter, type Limits, type Wait } from './waiting.js'

/**
 * How a channel is made by the first who names it. A different wish later is ERR_COHEAP_INVALID_ARGUMENT; who leaves an
 * option out has no wish.
 */
export interface ChannelOptions {
  /** Most messages that it holds; Infinity: unbounded, which is the default. */
  capacity?: number | undefined
  /** First in first out (default), or last in first out. */
  order?: 'fifo' | 'lifo' | undefined
}

const TAKER = 0
const PUTTER = 1

/** Milliseconds for which calls that need not wait may keep the event loop from turning. */
const TURN = 5
/** The clock is looked at once in so many of them. */
const LOOK = 16
let calls = 0
let turned = 0

/**
 * After a call that did not have to wait: the next turn of the event loop, if it is due; else undefined. A loop over
 * `take` that always finds a message would keep timers, sockets and signals waiting for ever.
 */
function turn(): Promise<void> | undefined {
  if (++calls < LOOK) return undefined
  calls = 0
  if (performance.now() - turned < TURN) return undefined
  return new Promise((resolve) =>
    setImmediate(() => {
      turned = performance.now()
      resolve()
    }),
  )
}

/** One waiting call of this thread. */
interface Pending {
  /** Tries: true when it is done. What it throws rejects it. */
  attempt: () => boolean
  fail: (reason: unknown) => void
  waiter: Waiter | undefined
  ref: boolean
}

/**
 * Milliseconds that a call looks on before it waits on the event loop: about what sleeping and being woken costs, which
 * is at most twice what would have been best (Karlin, Manasse, McGeoch and Owicki, 1994).
 */
const LINGER = 0.1
/** It lingers as long as one of so many times was worth it, and then once in so many waits. */
const HOPE = 8

/** This thread's waiting calls on one side of a channel: only the first one is tried, so they are served in order. */
class Line {
  private readonly pending: Pending[] = []
  private token = 0
  private tokenRef = false
  private hope = HOPE

  constructor(
    private readonly a: Attachment,
    private readonly c: number,
    private readonly role: number,
  ) {}

  get empty(): boolean {
    return this.pending.length === 0
  }

  /** True if it is worth trying again at once: after a short look, if such looks were worth it lately. */
  linger(): boolean {
    if (--this.hope < 0) {
      if (this.hope > -HOPE) return false
      this.hope = 0
    }
    const came = this.a.port.channelWaitSync(this.c, this.role, LINGER)
    this.a.done()
    if (came) this.hope = HOPE
    return came
  }

  /** Waits in line until `attempt` is done or the limits end it. */
  wait(attempt: () => boolean, limits: Limits, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      limits.signal?.throwIfAborted()
      const one: Pending = {
        attempt: () => {
          if (!attempt()) return false
          one.waiter?.finish()
          resolve()
          return true
        },
        fail: (reason) => {
          one.waiter?.finish()
          reject(reason)
        },
        waiter: undefined,
        ref: limits.ref,
      }
      if (performance.now() >= limits.deadline) {
        if (this.empty && attempt()) resolve()
        else reject(timedOut(what))
        return
      }
      append(this.pending, one)
      one.waiter = new Waiter(limits, what, (reason) => {
        const at = this.pending.indexOf(one)
        if (at >= 0) this.pending.splice(at, 1)
        reject(reason)
        this.pump()
      })
      if (this.pending.length === 1) this.pump()
      else this.listen()
    })
  }

  /** Serves those in front as long as that works; then listens. */
  pump(): void {
    for (let one = this.pending[0]; one !== undefined; one = this.pending[0]) {
      try {
        if (!one.attempt()) break
      } catch (error) {
        one.fail(error)
      }
      this.pending.shift()
    }
    this.listen()
  }

  /** Listens on behalf of the first in line; keeps the process alive if anybody in line wants that. */
  private listen(): void {
    const ref = this.pending.some((one) => one.ref)
    if (this.token !== 0 && (this.empty || this.tokenRef !== ref)) {
      this.a.waits.cancel(this.token)
      this.token = 0
    }
    if (this.empty || this.token !== 0) return
    this.tokenRef = ref
    this.token = this.a.waits.add(
      ref,
      () => {
        this.token = 0
        this.pump()
      },
      (reason) => {
        this.token = 0
        this.pending.splice(0).forEach((one) => one.fail(reason))
      },
    )
    this.a.port.channelWaitAsync(this.c, this.role, this.token)
    if (this.a.state[0] !== Status.OK) {
      const fault = this.a.fault()
      this.a.waits.cancel(this.token)
      this.token = 0
      this.pending.splice(0).forEach((one) => one.fail(fault))
    }
  }
}

/**
 * A channel of a heap, made by `heap.channel(name)`. What is put is copied in and live for both sides; each message
 * is taken once. `try…`, `takeMany` and `length` take part in transactions; calls that wait are refused there.
 */
export class Channel<T = unknown> {
  readonly #a: Attachment
  readonly #c: number
  readonly #takers: Line
  readonly #putters: Line
  /** The name that it was opened by. */
  readonly name: string

  private constructor(a: Attachment, name: string, options: ChannelOptions) {
    const { capacity, order } = options
    const most = capacity === Infinity ? 0 : whole(capacity, 'capacity', 1, 2 ** 31, 0)
    if (order !== undefined && order !== 'fifo' && order !== 'lifo') throw wrongType("order must be 'fifo' or 'lifo'")
    a.check()
    this.#a = a
    this.name = name
    this.#c = a.port.channelOpen(
      name,
      capacity === undefined ? undefined : most,
      order === undefined ? undefined : order === 'lifo',
    )
    a.done()
    this.#takers = new Line(a, this.#c, TAKER)
    this.#putters = new Line(a, this.#c, PUTTER)
  }

  /** Before each call. */
  #use(): Attachment {
    this.#a.check()
    return this.#a
  }

  #closed(): Error {
    return fail('ERR_COHEAP_CHANNEL_CLOSED', `the channel ${this.name} is closed`)
  }

  /** Puts what was built: true when it is all in. `native` runs the call. */
  #putBatch(batch: number, left: { count: number }): boolean {
    const a = this.#a
    while (left.count > 0) {
      const n = a.port.batchPut(this.#c, batch)
      const status = a.state[0]
      if (status === Status.AGAIN) return false
      if (status === Status.CLOSED) throw this.#closed()
      a.done()
      left.count -= n
    }
    return true
  }

  /**
   * Puts a message if there is room; never waits.
   * @returns the live version of the message; undefined: full
   * @throws ERR_COHEAP_CHANNEL_CLOSED, ERR_COHEAP_UNSUPPORTED_TYPE, ERR_COHEAP_OUT_OF_MEMORY
   */
  tryPut(message: T): Shared<T> | undefined {
    const a = this.#use()
    refuseUndefined(message)
    const { state } = a
    let live: unknown
    if (typeof message === 'number') {
      state[In.HANDLE] = this.#c
      a.nums[In.VALUE] = message
      live = a.port.channelPutNumber()
    } else if (isDirect(message)) {
      state[In.HANDLE] = this.#c
      live = a.port.channelPut(message)
    } else {
      // staging may call
      state[In.WIRE] = a.stage(message)
      state[In.HANDLE] = this.#c
      live = a.port.channelPut(undefined)
    }
    const status = a.state[0]
    if (status === Status.AGAIN) return undefined
    if (status === Status.CLOSED) throw this.#closed()
    return this.#live(a.result(live), message)
  }

  /** The live version of what went in: what has none is itself. */
  #live(live: unknown, message: T): Shared<T> {
    return (live === undefined || live === null ? message : live) as Shared<T>
  }

  /** A batch of one or more, built ahead. */
  #build(messages: readonly unknown[]): number {
    const a = this.#a
    const n = a.stageMany(messages)
    const batch = a.port.batchBuild(n)
    a.done()
    return batch
  }

  /**
   * Puts a message, waiting for room. Messages of this thread go in in the order of the calls.
   * @returns the live version of the message
   * @throws ERR_COHEAP_CHANNEL_CLOSED, ERR_COHEAP_TIMEOUT, the signal's reason
   */
  async put(message: T, wait?: Wait): Promise<Shared<T>> {
    refuseInside('put')
    const limits = limitsOf(wait)
    limits.signal?.throwIfAborted()
    const a = this.#use()
    if (this.#putters.empty) {
      let live = this.tryPut(message)
      if (live === undefined && this.#putters.linger()) live = this.tryPut(message)
      if (live !== undefined) {
        const due = turn()
        if (due !== undefined) await due
        return live
      }
    }
    refuseUndefined(message)
    const batch = this.#build([message])
    const left = { count: 1 }
    let live: unknown
    const attempt = () => {
      if (!this.#putBatch(batch, left)) return false
      live = a.result(a.port.batchValue())
      return true
    }
    await this.#putWaiting(attempt, batch, left, limits, 'put')
    return this.#live(live, message)
  }

  async #putWaiting(
    attempt: () => boolean,
    batch: number,
    left: { count: number },
    limits: Limits,
    what: string,
  ): Promise<void> {
    try {
      await this.#putters.wait(attempt, limits, `${what} on the channel ${this.name}`)
    } finally {
      if (left.count > 0 && !this.#a.closed) this.#a.port.batchDrop(batch)
    }
  }

  /** As {@link put}; blocks this thread. */
  putSync(message: T, wait?: Wait): Shared<T> {
    refuseInside('putSync')
    const limits = limitsOf(wait)
    limits.signal?.throwIfAborted()
    for (;;) {
      const live = this.tryPut(message)
      if (live !== undefined) return live
      this.#sleep(PUTTER, limits, 'putSync')
    }
  }

  /** Blocks until it may be worth trying again. */
  #sleep(role: number, limits: Limits, what: string): void {
    const a = this.#a
    for (;;) {
      const left = limits.deadline - performance.now()
      if (left <= 0) throw timedOut(`${what} on the channel ${this.name}`)
      const again = a.port.channelWaitSync(this.#c, role, Math.min(SLICE, Math.ceil(left)))
      a.done()
      if (again) return
    }
  }

  /**
   * Puts several messages in order, in runs as room comes. All are copied in first: if one cannot be stored none is
   * put. A wait that ends early leaves those in that have gone in.
   */
  async putMany(messages: Iterable<T>, wait?: Wait): Promise<void> {
    refuseInside('putMany')
    const limits = limitsOf(wait)
    limits.signal?.throwIfAborted()
    const a = this.#use()
    const all = listed(messages)
    if (all.length === 0) return
    let batch: number
    const left = { count: all.length }
    if (this.#putters.empty) {
      left.count -= this.#putNow(all, true)
      if (left.count === 0) return turn()
      batch = a.nums[In.VALUE]
    } else batch = this.#build(all)
    await this.#putWaiting(() => this.#putBatch(batch, left), batch, left, limits, 'putMany')
  }

  /** Puts as many of the messages as there is room for, in order: how many went in. */
  tryPutMany(messages: Iterable<T>): number {
    this.#use()
    const all = listed(messages)
    return all.length === 0 ? 0 : this.#putNow(all, false)
  }

  /** Copies the messages in and puts as many as there is room for: how many. Keeps the others as the batch VALUE. */
  #putNow(all: readonly T[], keep: boolean): number {
    const a = this.#a
    const n = a.port.channelPutMany(this.#c, a.stageMany(all), keep)
    const status = a.state[0]
    if (status === Status.AGAIN) return 0
    if (status === Status.CLOSED) throw this.#closed()
    a.done()
    return n
  }

  /** A message, or undefined if there is none now. Throws when the channel is closed and drained. */
  #take(): T | undefined {
    const a = this.#use()
    a.state[In.HANDLE] = this.#c
    const message = a.port.channelTake()
    const status = a.state[0]
    if (status === Status.NUMBER) return a.nums[In.VALUE] as T
    if (status === Status.OK) return message as T
    if (status === Status.AGAIN) return undefined
    if (status === Status.CLOSED) throw this.#closed()
    return a.settleTaken() as T
  }

  /**
   * Takes a message; never waits.
   * @returns undefined if there is none now
   * @throws ERR_COHEAP_CHANNEL_CLOSED when the channel is closed and drained
   */
  tryTake(): T | undefined {
    return this.#take()
  }

  /**
   * Takes a message, waiting for one. This thread's waiting calls are served in order.
   * @throws ERR_COHEAP_CHANNEL_CLOSED when the channel is closed and drained; ERR_COHEAP_TIMEOUT; the signal's reason
   */
  async take(wait?: Wait): Promise<T> {
    refuseInside('take')
    const limits = limitsOf(wait)
    limits.signal?.throwIfAborted()
    if (this.#takers.empty) {
      let message = this.#take()
      if (message === undefined && this.#takers.linger()) message = this.#take()
      if (message !== undefined) {
        const due = turn()
        if (due !== undefined) await due
        return message
      }
    }
    let message: T | undefined
    const attempt = () => (message = this.#take()) !== undefined
    await this.#takers.wait(attempt, limits, `take on the channel ${this.name}`)
    return message as T
  }

  /** As {@link take}; blocks this thread. */
  takeSync(wait?: Wait): T {
    refuseInside('takeSync')
    const limits = limitsOf(wait)
    limits.signal?.throwIfAborted()
    for (;;) {
      const message = this.#take()
      if (message !== undefined) return message
      this.#sleep(TAKER, limits, 'takeSync')
    }
  }

  /** Takes what is there, at most so many messages; never waits. */
  takeMany(max: number): T[] {
    const a = this.#use()
    if (typeof max !== 'number') throw wrongType('max must be a number')
    if (!(max >= 0)) throw outOfRange(`max must not be negative: ${max}`)
    a.port.channelTakeMany(this.#c, Math.min(Math.floor(max), 2 ** 31))
    if (a.state[0] === Status.AGAIN || a.state[0] === Status.CLOSED) return []
    return a.decodeMany() as T[]
  }

  /** The message that would be taken next, without taking it; undefined if there is none. */
  peek(): T | undefined {
    const a = this.#use()
    const message = a.port.channelPeek(this.#c)
    if (a.state[0] === Status.AGAIN || a.state[0] === Status.CLOSED) return undefined
    return a.alone(message) as T
  }

  /** The number of messages in it. */
  get length(): number {
    const a = this.#use()
    const n = a.port.channelLength(this.#c)
    a.done()
    return n
  }

  /** True once anybody has closed it. */
  get closed(): boolean {
    const a = this.#use()
    const closed = a.port.channelIsClosed(this.#c)
    a.done()
    return closed
  }

  /** Takes message after message, waiting for each; ends when the channel is closed and drained. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      let message: T
      try {
        message = await this.take()
      } catch (error) {
        if ((error as { code?: unknown }).code === 'ERR_COHEAP_CHANNEL_CLOSED') return
        throw error
      }
      yield message
    }
  }

  /** Closes it for all: takers drain it and then end, putters get ERR_COHEAP_CHANNEL_CLOSED. */
  close(): void {
    const a = this.#use()
    if (scope.attempt !== undefined) throw wrongType('a channel cannot be closed inside a transaction')
    a.port.channelClose(this.#c)
    a.done()
  }

  /** As {@link close}. */
  [Symbol.dispose](): void {
    if (!this.#a.closed) this.close()
  }
}

/** Opens a channel. */
export function makeChannel(a: Attachment, name: string, options: ChannelOptions): Channel {
  const Make = Channel as unknown as new (a: Attachment, name: string, options: ChannelOptions) => Channel
  return new Make(a, name, options)
}

/** The messages, each of which can be one. An array of one's own is copied too: what is stored may run code of the user's. */
function listed<T>(messages: Iterable<T>): T[] {
  if (typeof (messages as Partial<Iterable<T>> | null | undefined)?.[Symbol.iterator] !== 'function') {
    throw wrongType('messages must be an array or another iterable')
  }
  const all = [...messages]
  if (all.includes(undefined as T)) refuseUndefined(undefined)
  return all
}

function refuseUndefined(message: unknown): void {
  if (message === undefined) throw fail('ERR_COHEAP_UNSUPPORTED_TYPE', 'undefined cannot be a message: $')
}
