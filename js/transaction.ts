/**
 * Transactions: callbacks that run again on conflict, synchronously or waiting off the event loop, and explicit ones.
 */
import type { Attachment } from './attachment.js'
import { CoheapError, fail, wrongType } from './errors.js'
import { In, Status } from './port.js'
import { Attempt, Gate, attachments, enter, scope } from './scope.js'
import { flag, milliseconds, optionsOf, whole } from './sizes.js'
import { delay, limitsOf, type Limits, type Wait } from './waiting.js'

/** How a transaction behaves. */
export interface TransactionOptions {
  /** What it reads is protected from younger writers too, as if it were written. Default false. */
  reserveReads?: boolean | undefined
  /** How often it may run again: ERR_COHEAP_RETRIES_EXHAUSTED after that. Default: for ever. */
  maxRetries?: number | undefined
  /** Milliseconds after which it is not run again: ERR_COHEAP_TIMEOUT. Default: for ever. */
  timeout?: number | undefined
  /** Its abortion ends the running again; what is thrown is its reason. */
  signal?: AbortSignal | undefined
  /** Explicit ones only: milliseconds after which anybody may abort it. Default 5000. */
  maxHold?: number | undefined
}

/** Set in every request to begin: see {@link In.BEGIN}. */
const ASKED = 8
const RESERVE_READS = 1
const NEVER_WAITS = 4

/** The longest that a synchronous wait stays in native code, in ms: `worker.terminate()` cannot interrupt it there. */
export const SLICE = 100

interface Checked extends Limits {
  flags: number
  maxRetries: number
  maxHold: number
}

const DEFAULTS: Checked = { ...limitsOf(undefined), flags: 0, maxRetries: Infinity, maxHold: 5000 }

function checked(options: (TransactionOptions & Wait) | undefined): Checked {
  if (options === undefined) return DEFAULTS
  const o = optionsOf(options)
  return {
    ...limitsOf(o),
    flags: flag(o.reserveReads, 'reserveReads', false) ? RESERVE_READS : 0,
    maxRetries: o.maxRetries === Infinity ? Infinity : whole(o.maxRetries, 'maxRetries', 0, 2 ** 53 - 1, Infinity),
    maxHold: Math.min(milliseconds(o.maxHold, 'maxHold', 5000), 2 ** 31),
  }
}

/** Thrown by {@link retry}; known by its identity. */
class Retry extends Error {}

/**
 * Inside a transaction: gives this attempt up and runs the body again when something that it has read has changed.
 * Blocks in `transaction`, waits off the event loop in `transactionAsync`.
 * @throws ERR_COHEAP_INVALID_ARGUMENT outside of a callback's transaction
 */
export function retry(): never {
  const attempt = scope.attempt
  if (attempt === undefined) throw wrongType('retry() outside of a transaction')
  if (attempt.explicit) throw wrongType('retry() inside tx.run(): an explicit transaction has no body to run again')
  attempt.retrying = true
  throw new Retry('retry() has ended this attempt of the transaction')
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function'
}

/** The error of a body that returned a promise. */
function asyncBody(result: PromiseLike<unknown>): CoheapError {
  // its outcome has nobody to go to
  result.then(undefined, () => undefined)
  return fail(
    'ERR_COHEAP_ASYNC_TRANSACTION',
    "a transaction's body returned a promise: what it did before its first await is undone, what it does after that runs outside of any transaction",
  )
}

/** A body inside a transaction that runs already: it joins. */
function join<T>(a: Attachment, attempt: Attempt, body: () => T): T {
  a.check()
  const result = body()
  if (isPromise(result)) {
    attempt.doom = asyncBody(result)
    throw attempt.doom
  }
  return result
}

/** The number of the callback's transaction that is running. */
const RUNNING = 0

/** Begins an explicit transaction: its number. */
function begin(a: Attachment, flags: number, maxHold: number): number {
  a.state[In.FLAGS] = flags
  a.state[In.MAX_HOLD] = maxHold
  a.port.txBegin()
  a.done()
  return a.nums[In.TX]
}

/** How an attempt came out that is not done: beaten, or ended by {@link retry}. */
const BEATEN: unique symbol = Symbol('beaten')
const RETRYING: unique symbol = Symbol('retrying')

/**
 * Runs the body once, inside; commits. Throws what undoes the transaction for good.
 * @param asked what {@link In.BEGIN} is to be: the first use of the heap begins it; 0: it has begun
 * @param entered it has a slot of its own, which is left afterwards
 */
function once<T>(
  a: Attachment,
  tx: number,
  attempt: Attempt,
  body: () => T,
  asked: number,
  entered: boolean,
): T | typeof BEATEN | typeof RETRYING {
  const { port, state } = a
  let value: T | undefined
  let failure: unknown
  let failed = false
  if (asked !== 0) state[In.BEGIN] = asked
  try {
    enter(attempt)
    value = body()
    if (!attempt.lost && isPromise(value)) throw asyncBody(value)
  } catch (error) {
    failed = true
    failure = error
  }
  // No JavaScript is called before the transaction has ended: the body may have left no room on the stack.
  scope.attempt = undefined
  for (let i = 0; i < attachments.length; i++) attachments[i].gate &= ~Gate.TRANSACTION
  if (entered) port.txLeave()
  if (attempt.doom !== undefined) {
    failed = true
    failure = attempt.doom
  }
  const over = !attempt.lost && !attempt.retrying
  let status: number = Status.OK
  if (over) {
    // what has not begun is not ended: the request is taken back
    if (state[In.BEGIN] !== 0) state[In.BEGIN] = 0
    else if (failed) port.txAbort(tx)
    else {
      a.nums[In.TX] = tx
      port.txCommit()
      status = state[0]
    }
  }
  attempt.end(over && !failed && status === Status.OK)
  if (!over) return attempt.retrying && !attempt.lost ? RETRYING : BEATEN
  if (failed) throw failure
  if (status === Status.OK) return value as T
  if (status !== Status.ABORTED) throw a.fault()
  return BEATEN
}

/** Why a transaction is not run again, if it is not. */
function giveUp(limits: Checked, retries: number): unknown {
  if (limits.signal?.aborted === true) return limits.signal.reason
  if (retries > limits.maxRetries) {
    return fail('ERR_COHEAP_RETRIES_EXHAUSTED', `the transaction was beaten ${retries} times`)
  }
  if (performance.now() >= limits.deadline) {
    return fail('ERR_COHEAP_TIMEOUT', 'the transaction could not be committed in time')
  }
  return undefined
}

/** Runs a body as a transaction of this heap, or as a part of the one that is running. */
export function transaction<T>(a: Attachment, body: () => T, options?: TransactionOptions): T {
  if (typeof body !== 'function') throw wrongType('a transaction needs a function')
  const running = scope.attempt
  if (running !== undefined) return join(a, running, body)
  const limits = checked(options)
  limits.signal?.throwIfAborted()
  a.check()
  const tx = RUNNING
  let asked = ASKED | limits.flags
  for (let retries = 0; ;) {
    const outcome = once(a, tx, new Attempt(a, false), body, asked, false)
    asked = 0
    if (outcome !== BEATEN && outcome !== RETRYING) return outcome
    if (outcome === BEATEN) retries++
    let reason = giveUp(limits, retries)
    while (reason === undefined && outcome === RETRYING) {
      const changed = a.port.txWaitSync(tx, Math.min(SLICE, Math.max(limits.deadline - performance.now(), 0)))
      if (a.state[0] !== Status.OK) reason = a.fault()
      else if (changed) break
      else reason = giveUp(limits, retries)
    }
    if (reason !== undefined) {
      a.port.txAbort(tx)
      throw reason
    }
    a.port.txRestart(tx)
    if (a.state[0] !== Status.OK) {
      const fault = a.fault()
      a.port.txAbort(tx)
      throw fault
    }
  }
}

/** Several operations of our own as one: part of the running transaction, or one of its own. */
export function atomically<T>(a: Attachment, body: () => T): T {
  return transaction(a, body)
}

/** As {@link transaction}; waits between attempts without holding up the event loop. */
export async function transactionAsync<T>(
  a: Attachment,
  body: () => T,
  options?: TransactionOptions & Wait,
): Promise<T> {
  if (typeof body !== 'function') throw wrongType('a transaction needs a function')
  refuseInside('transactionAsync')
  const limits = checked(options)
  limits.signal?.throwIfAborted()
  a.check()
  // on a slot of its own, for other code of this thread runs between its attempts
  const tx = begin(a, limits.flags | NEVER_WAITS, 0)
  let open = true
  try {
    for (let retries = 0; ;) {
      a.check()
      a.port.txEnter(tx)
      a.done()
      const outcome = once(a, tx, new Attempt(a, false), body, 0, true)
      if (outcome !== BEATEN && outcome !== RETRYING) {
        open = false
        return outcome
      }
      if (outcome === BEATEN) retries++
      const reason = giveUp(limits, retries)
      if (reason !== undefined) throw reason
      if (outcome === RETRYING) {
        await a.waits.once((token) => {
          a.port.txWaitAsync(tx, token)
          a.done()
        }, limits)
      }
      // at most 8 ms: whoever is in the way may have died meanwhile
      for (let pause = 1; ; pause = Math.min(2 * pause, 8)) {
        a.check()
        a.port.txRestart(tx)
        if (a.state[0] !== Status.AGAIN) break
        await delay(pause, limits)
      }
      a.done()
    }
  } finally {
    if (open && !a.closed) a.port.txAbort(tx)
  }
}

/** Waiting calls hold up a transaction: they are refused inside one. */
export function refuseInside(what: string): void {
  if (scope.attempt !== undefined) {
    throw fail('ERR_COHEAP_INVALID_ARGUMENT', `${what} waits, and nothing may wait inside a transaction`)
  }
}

/**
 * An explicit transaction, for steps spread over time. What runs inside {@link Transaction.run} belongs to it; this
 * thread's other code is outside of it. Leaving its scope uncommitted (`using`) aborts it.
 */
export class Transaction {
  readonly #a: Attachment
  readonly #limits: Checked
  #tx = 0
  #attempt: Attempt | undefined
  /** active; lost: beaten, `restart()` keeps its age; ended. */
  #state: 'active' | 'lost' | 'ended' = 'ended'

  private constructor(a: Attachment, options?: TransactionOptions) {
    this.#a = a
    this.#limits = checked(options)
    this.#limits.signal?.throwIfAborted()
    this.#begin()
  }

  #begin(): void {
    const a = this.#a
    a.check()
    this.#tx = begin(a, this.#limits.flags, this.#limits.maxHold)
    this.#attempt = new Attempt(a, true)
    this.#state = 'active'
  }

  /** True until it is committed, aborted or beaten. */
  get active(): boolean {
    return this.#state === 'active' && !this.#a.closed
  }

  #live(): Attempt {
    this.#a.check()
    const attempt = this.#attempt
    if (this.#state === 'lost' || attempt?.lost === true) {
      throw fail('ERR_COHEAP_ABORTED', 'the transaction has been beaten by another one and undone: restart() it')
    }
    if (this.#state === 'ended' || attempt === undefined) {
      throw fail('ERR_COHEAP_ABORTED', 'the transaction has ended')
    }
    return attempt
  }

  /** It has been beaten: nothing of it remains, `restart()` begins again with its old age. */
  #lose(): void {
    this.#attempt?.end(false)
    this.#attempt = undefined
    this.#state = 'lost'
  }

  #end(committed: boolean): void {
    this.#attempt?.end(committed)
    this.#attempt = undefined
    this.#state = 'ended'
  }

  /**
   * Runs a function inside the transaction and gives its result. What it throws undoes the whole transaction.
   * @throws ERR_COHEAP_ABORTED if the transaction is beaten by another one, ERR_COHEAP_ASYNC_TRANSACTION if the
   * function returns a promise
   */
  run<T>(body: () => T): T {
    if (typeof body !== 'function') throw wrongType('tx.run needs a function')
    const attempt = this.#live()
    const a = this.#a
    if (scope.attempt === attempt) return join(a, attempt, body)
    if (scope.attempt !== undefined) throw wrongType('tx.run inside of another transaction')
    a.port.txEnter(this.#tx)
    if (a.state[0] !== Status.OK) throw a.fault()
    let value: T | undefined
    let failure: unknown
    let failed = false
    try {
      enter(attempt)
      value = body()
      if (isPromise(value)) throw asyncBody(value)
      if (attempt.doom !== undefined) throw attempt.doom
    } catch (error) {
      failed = true
      failure = error
    }
    // as in `once`: no JavaScript is called before it is left
    scope.attempt = undefined
    for (let i = 0; i < attachments.length; i++) attachments[i].gate &= ~Gate.TRANSACTION
    a.port.txLeave()
    if (failed) {
      if (attempt.lost) this.#lose()
      else this.abort()
      throw failure
    }
    if (attempt.lost) {
      // the body has caught the error; the transaction is lost all the same
      this.#lose()
      this.#live()
    }
    return value as T
  }

  /**
   * Makes its changes visible to all, at once.
   * @throws ERR_COHEAP_ABORTED if it was beaten; nothing of it remains then
   */
  commit(): void {
    const attempt = this.#live()
    const a = this.#a
    if (scope.attempt === attempt) throw wrongType('commit() inside of its own run()')
    a.nums[In.TX] = this.#tx
    a.port.txCommit()
    const status = a.state[0]
    if (status === Status.OK) return this.#end(true)
    const fault = status === Status.ABORTED ? attempt.lose() : a.fault()
    if (status === Status.ABORTED) this.#lose()
    else this.#end(false)
    throw fault
  }

  /** Undoes it. Does nothing if it has ended. */
  abort(): void {
    if (this.#state === 'ended') return
    const a = this.#a
    if (!a.closed) {
      if (this.#attempt !== undefined && scope.attempt === this.#attempt)
        throw wrongType('abort() inside of its own run()')
      a.port.txAbort(this.#tx)
    }
    this.#end(false)
  }

  /** Undoes what there is of it and begins again. One that was beaten, or is running, keeps its age. */
  restart(): void {
    const a = this.#a
    a.check()
    if (this.#attempt !== undefined && scope.attempt === this.#attempt)
      throw wrongType('restart() inside of its own run()')
    if (this.#state === 'ended') return this.#begin()
    this.#attempt?.end(false)
    a.port.txRestart(this.#tx)
    if (a.state[0] !== Status.OK) {
      this.#end(false)
      throw a.fault()
    }
    this.#attempt = new Attempt(a, true)
    this.#state = 'active'
  }

  /** Aborts it unless it has been committed. */
  [Symbol.dispose](): void {
    this.abort()
  }
}

/** Begins an explicit transaction. */
export function makeTransaction(a: Attachment, options?: TransactionOptions): Transaction {
  const Make = Transaction as unknown as new (a: Attachment, options?: TransactionOptions) => Transaction
  return new Make(a, options)
}
