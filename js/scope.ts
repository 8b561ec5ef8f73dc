/**
 * The transaction that this thread's code is running inside of, if any. One a thread: nested ones join.
 */
import type { Attachment } from './attachment.js'
import { fail } from './errors.js'
import type { Target } from './target.js'

/** A list that is as quick to add to whatever a program has put on `Array.prototype`. */
interface Link<T> {
  readonly value: T
  readonly next: Link<T> | undefined
}

/** One attempt of a transaction. */
export class Attempt {
  readonly attachment: Attachment
  readonly explicit: boolean
  /** Numbers the attempts of this thread: {@link Target.mark}. */
  readonly serial = ++serials
  /** Everything touched: a handle lives as long as its wrapper, and the overlay is known to nobody else. */
  private held: Link<object> | undefined
  /** Wrappers that were first made in this attempt. */
  private made: Link<Target> | undefined
  /** The native side has said that this attempt is lost. */
  lost = false
  /** `retry()` has been called. */
  retrying = false
  /** Why it must not be committed, whatever the body does. */
  doom: Error | undefined

  constructor(attachment: Attachment, explicit: boolean) {
    this.attachment = attachment
    this.explicit = explicit
  }

  /** Keeps what is touched until the attempt ends. */
  hold(target: Target): void {
    if (target.mark === this.serial) return
    target.mark = this.serial
    this.held = { value: target.self, next: this.held }
  }

  /** A wrapper that was first made in this attempt: what it wraps may not exist after an abort. */
  distrust(target: Target): void {
    this.made = { value: target, next: this.made }
  }

  /** The attempt is lost: what is to be thrown. */
  lose(): Error {
    this.lost = true
    return fail('ERR_COHEAP_ABORTED', 'the transaction has been beaten by another one and undone')
  }

  /** The attempt is over. After an abort no wrapper that it made may be read without asking the native side. */
  end(committed: boolean): void {
    if (!committed) {
      for (let { made } = this; made !== undefined; made = made.next) made.value.attachment.distrust(made.value)
    }
    this.held = undefined
    this.made = undefined
  }
}

let serials = 0

/** The attempt that is ambient now. */
export const scope: { attempt: Attempt | undefined } = { attempt: undefined }

/** Every open attachment of this thread: each one's gate is closed while a transaction runs. */
export const attachments: Attachment[] = []

/** Bits of {@link Attachment.gate}: any of them sends reads to the native side. */
export const Gate = { CLOSED: 1, TRANSACTION: 2, NATIVE: 4 } as const

/** Makes this attempt the ambient one. */
export function enter(attempt: Attempt): void {
  scope.attempt = attempt
  // by index: it must not depend on how a program lets arrays be iterated
  for (let i = 0; i < attachments.length; i++) attachments[i].gate |= Gate.TRANSACTION
}
