/**
 * The errors of Coheap: one class and its two twins, each with a stable code.
 */

/** The stable code of a {@link CoheapError}. */
export type ErrorCode = (typeof CODES)[number]

/** The codes in the order of the native numbers, from 1. */
const CODES = [
  /** `create`: a heap of this name is in use or persists. Open it, choose another name, or `unlink` it. */
  'ERR_COHEAP_EXISTS',
  /** `open`: no live heap has this name. Create it, or `connect` to wait for it. */
  'ERR_COHEAP_NOT_FOUND',
  /** The heap belongs to another user whose `mode` does not let this one in, or its lock folder is not safe. */
  'ERR_COHEAP_PERMISSION',
  /** The segment was laid out by another version of Coheap. Use the same version on all sides. */
  'ERR_COHEAP_VERSION',
  /** Something in the segment is not what it must be. `unlink` it and start anew; `verify()` says more. */
  'ERR_COHEAP_CORRUPT',
  /** The heap has been closed in this thread. */
  'ERR_COHEAP_CLOSED',
  /** The heap (`maxSize`), the memory file system, or another limit that the message names was met. The operation was undone as a whole. */
  'ERR_COHEAP_OUT_OF_MEMORY',
  /** More threads than `maxParticipants` use the heap, or one of them has too many open transactions. */
  'ERR_COHEAP_TOO_MANY_PARTICIPANTS',
  /** The value at the given path cannot be stored; nothing was. */
  'ERR_COHEAP_UNSUPPORTED_TYPE',
  /** An instance whose class or codec is not registered in this thread was read. Register it. */
  'ERR_COHEAP_UNREGISTERED_CLASS',
  /** Something frozen was written to. */
  'ERR_COHEAP_READ_ONLY',
  /** The object is gone: destroyed, or made in a transaction that was undone. */
  'ERR_COHEAP_DESTROYED',
  /** An object of one heap was used with another heap, or inside another heap's transaction. */
  'ERR_COHEAP_WRONG_HEAP',
  /** An argument is of the wrong kind or out of range. */
  'ERR_COHEAP_INVALID_ARGUMENT',
  /** An explicit transaction was beaten by another one and undone. `restart()` it. */
  'ERR_COHEAP_ABORTED',
  /** A transaction's body returned a promise. Its synchronous part was undone; what follows its first `await` runs outside of it. */
  'ERR_COHEAP_ASYNC_TRANSACTION',
  /** A transaction was beaten more than `maxRetries` times. */
  'ERR_COHEAP_RETRIES_EXHAUSTED',
  /** The time given by `timeout` is over. */
  'ERR_COHEAP_TIMEOUT',
  /** A channel is full. */
  'ERR_COHEAP_CHANNEL_FULL',
  /** A channel is closed (putters), or closed and drained (takers). */
  'ERR_COHEAP_CHANNEL_CLOSED',
  /** The native module for this platform cannot be loaded; `cause` says why. */
  'ERR_COHEAP_NATIVE_NOT_FOUND',
  /** The runtime forbids what Coheap needs: memory outside of the JavaScript heap behind an ArrayBuffer. */
  'ERR_COHEAP_UNSUPPORTED_RUNTIME',
] as const

const captureStackTrace = (Error as { captureStackTrace?: (target: object, above: unknown) => void }).captureStackTrace

/** Every error that Coheap itself throws is `instanceof` this, also those that are a `TypeError` or a `RangeError`. */
export class CoheapError extends Error {
  /** What went wrong, stable over versions. */
  readonly code: ErrorCode

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this === CoheapError) {
      return value !== null && typeof value === 'object' && brand in value
    }
    return Function.prototype[Symbol.hasInstance].call(this, value)
  }
}

const brand = Symbol('CoheapError')

/** A {@link CoheapError} that is also a `TypeError`. */
export class CoheapTypeError extends TypeError {
  /** What went wrong, stable over versions. */
  readonly code: ErrorCode

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A {@link CoheapError} that is also a `RangeError`. */
export class CoheapRangeError extends RangeError {
  /** What went wrong, stable over versions. */
  readonly code: ErrorCode

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

for (const Class of [CoheapError, CoheapTypeError, CoheapRangeError]) {
  Object.defineProperty(Class.prototype, brand, { value: true })
  Object.defineProperty(Class.prototype, 'name', { value: Class.name, writable: true, configurable: true })
}

const TYPE_CODES: ReadonlySet<ErrorCode> = new Set([
  'ERR_COHEAP_UNSUPPORTED_TYPE',
  'ERR_COHEAP_UNREGISTERED_CLASS',
  'ERR_COHEAP_READ_ONLY',
  'ERR_COHEAP_WRONG_HEAP',
  'ERR_COHEAP_ASYNC_TRANSACTION',
])

/**
 * Makes the error that belongs to a code.
 * @param above the function that the stack starts above of
 */
export function fail(
  code: ErrorCode,
  message: string,
  options?: ErrorOptions & { range?: boolean },
  above: unknown = fail,
): CoheapError {
  const cause = options !== undefined && 'cause' in options ? { cause: options.cause } : undefined
  let error: CoheapError
  if (code === 'ERR_COHEAP_OUT_OF_MEMORY' || options?.range === true) error = new CoheapRangeError(code, message, cause)
  else if (code === 'ERR_COHEAP_INVALID_ARGUMENT' || TYPE_CODES.has(code)) {
    error = new CoheapTypeError(code, message, cause)
  } else error = new CoheapError(code, message, cause)
  captureStackTrace?.(error, above)
  return error
}

/** A wrong argument: a `TypeError`. */
export function wrongType(message: string): CoheapError {
  return fail('ERR_COHEAP_INVALID_ARGUMENT', message, undefined, wrongType)
}

/** An argument out of range: a `RangeError`. */
export function outOfRange(message: string): CoheapError {
  return fail('ERR_COHEAP_INVALID_ARGUMENT', message, { range: true }, outOfRange)
}

/** The code of a native number (from 1). A number that does not exist says that the two sides do not fit together. */
export function codeOf(number: number): ErrorCode {
  return CODES[number - 1] ?? 'ERR_COHEAP_VERSION'
}

/** True if `code` is one of ours. */
function isCode(code: string): code is ErrorCode {
  return (CODES as readonly string[]).includes(code)
}

/**
 * An error of a cold native call, whose message begins with the code, as one of ours; anything else as it is.
 * @param error what the call threw
 */
export function fromNative(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const colon = error.message.indexOf(': ')
  const code = colon < 0 ? error.message : error.message.slice(0, colon)
  if (!isCode(code)) return error
  return fail(code, colon < 0 ? code : error.message.slice(colon + 2), undefined, fromNative)
}

/** Calls a cold native function; its errors come out as ours. */
export function calling<T>(native: () => T): T {
  try {
    return native()
  } catch (error) {
    throw fromNative(error)
  }
}
