/**
 * Waiting without holding up the event loop: what every wait takes, and the tokens by which the native side's waiter
 * thread wakes promises.
 */
import { fail, wrongType } from './errors.js'
import { flag, milliseconds, optionsOf } from './sizes.js'
import type { Port } from './port.js'
import { append } from './property.js'

/** What every wait takes. */
export interface Wait {
  /** Its abortion ends the wait: it rejects with (a synchronous one throws) the signal's reason. */
  signal?: AbortSignal | undefined
  /** Milliseconds; 0 tries once. ERR_COHEAP_TIMEOUT when they are over. Default: for ever. */
  timeout?: number | undefined
  /** False: the wait does not keep the process alive. Default true. */
  ref?: boolean | undefined
}

/** A {@link Wait}, checked. */
export interface Limits {
  readonly signal: AbortSignal | undefined
  /** On the clock of `performance.now()`; Infinity. */
  readonly deadline: number
  readonly ref: boolean
}

/** A wait without limits. */
const UNLIMITED: Limits = { signal: undefined, deadline: Infinity, ref: true }

/** Checks what a wait was given. */
export function limitsOf(wait: Wait | undefined): Limits {
  if (wait === undefined) return UNLIMITED
  const { signal, timeout, ref } = optionsOf(wait, 'wait')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongType('signal must be an AbortSignal')
  const ms = milliseconds(timeout, 'timeout', Infinity)
  return { signal, deadline: ms === Infinity ? Infinity : performance.now() + ms, ref: flag(ref, 'ref', true) }
}

/** The error of a wait whose time is over. */
export function timedOut(what: string): Error {
  return fail('ERR_COHEAP_TIMEOUT', `${what}: the time is over`)
}

/** The longest delay of a timer. */
const LONGEST = 2 ** 31 - 1

/** One that waits: ended by {@link Waiter.finish}, or by its limits. */
export class Waiter {
  private timer: NodeJS.Timeout | undefined
  private readonly limits: Limits
  private readonly onEnd: (reason: unknown) => void
  private readonly what: string

  /** @param onEnd called when the limits end the wait, with what it rejects with */
  constructor(limits: Limits, what: string, onEnd: (reason: unknown) => void) {
    this.limits = limits
    this.what = what
    this.onEnd = onEnd
    limits.signal?.addEventListener('abort', this.aborted)
    this.arm()
  }

  private arm(): void {
    const { deadline, ref } = this.limits
    if (deadline === Infinity) return
    const left = deadline - performance.now()
    this.timer = setTimeout(
      () => {
        if (performance.now() < deadline) return this.arm()
        this.finish()
        this.onEnd(timedOut(this.what))
      },
      Math.min(Math.max(Math.ceil(left), 1), LONGEST),
    )
    if (!ref) this.timer.unref()
  }

  private readonly aborted = (): void => {
    this.finish()
    this.onEnd(this.limits.signal?.reason)
  }

  /** It waits no more. */
  finish(): void {
    clearTimeout(this.timer)
    this.limits.signal?.removeEventListener('abort', this.aborted)
  }
}

/** Resolves after so many milliseconds, within the limits. */
export function delay(ms: number, limits: Limits): Promise<void> {
  return new Promise((resolve, reject) => {
    limits.signal?.throwIfAborted()
    const timer = setTimeout(() => {
      waiter.finish()
      resolve()
    }, ms)
    if (!limits.ref) timer.unref()
    const waiter = new Waiter(limits, 'waiting', (reason) => {
      clearTimeout(timer)
      reject(reason)
    })
  })
}

/** The tokens of one heap in this thread. */
export class Waits {
  private readonly port: Port
  private readonly waiting = new Map<
    number,
    { wake: (() => void) | undefined; ref: boolean; end: (reason: unknown) => void }
  >()
  private last = 0
  private refs = 0
  private started = false

  constructor(port: Port) {
    this.port = port
  }

  /**
   * A token that `wake` is called for, once. `end` is called instead when the heap is closed.
   * @param ref whether it keeps the event loop alive
   */
  add(ref: boolean, wake: () => void, end: (reason: unknown) => void): number {
    if (!this.started) {
      this.started = true
      this.port.onWake((token) => this.woken(token))
    }
    this.last = this.last === 2 ** 31 ? 1 : this.last + 1
    this.waiting.set(this.last, { wake, ref, end })
    if (ref && this.refs++ === 0) this.port.refLoop(true)
    return this.last
  }

  /** Forgets a token. */
  cancel(token: number): void {
    if (!this.forget(token)) return
    this.port.cancelWait(token)
  }

  private forget(token: number): boolean {
    const entry = this.waiting.get(token)
    if (entry === undefined) return false
    this.waiting.delete(token)
    if (entry.ref && --this.refs === 0) this.port.refLoop(false)
    return true
  }

  private woken(token: number): void {
    const entry = this.waiting.get(token)
    if (entry === undefined) return
    this.forget(token)
    entry.wake?.()
  }

  /** Resolves when the token that `register` hands to the native side is woken, within the limits. */
  once(register: (token: number) => void, limits: Limits): Promise<void> {
    return new Promise((resolve, reject) => {
      limits.signal?.throwIfAborted()
      const token = this.add(
        limits.ref,
        () => {
          waiter.finish()
          resolve()
        },
        (reason) => {
          waiter.finish()
          reject(reason)
        },
      )
      const waiter = new Waiter(limits, 'waiting', (reason) => {
        this.cancel(token)
        reject(reason)
      })
      try {
        register(token)
      } catch (error) {
        waiter.finish()
        this.cancel(token)
        reject(error)
      }
    })
  }

  /** The heap is being closed: every wait ends. */
  close(): void {
    const reason = fail('ERR_COHEAP_CLOSED', 'the heap has been closed')
    const ends: ((reason: unknown) => void)[] = []
    this.waiting.forEach(({ end }, token) => {
      append(ends, end)
      this.cancel(token)
    })
    ends.forEach((end) => end(reason))
  }
}
