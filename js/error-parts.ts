/**
 * What of an error is stored: the fields that errors have by nature, in the order of their bits in
 * {@link ErrorField}, then its own enumerable properties.
 */
import { errorKind } from './classify.js'
import { append } from './property.js'
import { ERROR_KINDS, ErrorField } from './wire.js'

/** The names of what is stored for itself. */
const FIXED = ['name', 'message', 'stack', 'cause']

/** The parts of one error. */
export interface ErrorParts {
  /** Its place in {@link ERROR_KINDS}. */
  readonly kind: number
  /** {@link ErrorField} bits. */
  has: number
  /** The values of the fields that it has. */
  readonly fields: unknown[]
  /** The names of these, then the string keys of its further properties. */
  readonly keys: (string | symbol)[]
}

/** Takes an error apart. Runs getters of the user's: `stack` is one in some errors. */
export function errorParts(error: Error): ErrorParts {
  const parts: ErrorParts = { kind: errorKind(error), has: 0, fields: [], keys: [] }
  const add = (bit: number, key: string, value: unknown): void => {
    parts.has |= bit
    append(parts.fields, value)
    append(parts.keys, key)
  }
  const name: unknown = error.name
  if (typeof name === 'string' && name !== ERROR_KINDS[parts.kind].prototype.name) {
    add(ErrorField.NAME, 'name', name)
    if (Object.prototype.propertyIsEnumerable.call(error, 'name')) parts.has |= ErrorField.NAME_SHOWN
  }
  const message: unknown = error.message
  if (typeof message === 'string' && (message !== '' || Object.hasOwn(error, 'message'))) {
    add(ErrorField.MESSAGE, 'message', message)
  }
  const stack: unknown = error.stack
  if (typeof stack === 'string') add(ErrorField.STACK, 'stack', stack)
  if (Object.hasOwn(error, 'cause')) add(ErrorField.CAUSE, 'cause', error.cause)
  const aggregate = ERROR_KINDS[parts.kind] === AggregateError
  if (aggregate) {
    // a copy: the errors travel with the error, whatever else their array is
    const errors = (error as AggregateError).errors as unknown
    add(ErrorField.ERRORS, 'errors', Array.isArray(errors) ? Object.freeze(errors.slice()) : undefined)
  }
  const skip = aggregate ? [...FIXED, 'errors'] : FIXED
  Object.keys(error).forEach((key) => skip.includes(key) || append(parts.keys, key))
  return parts
}

/** An error without the cost of a stack trace that would be replaced anyway. */
export function bareError(Class: (typeof ERROR_KINDS)[number]): Error {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return Class === AggregateError ? new AggregateError([]) : new (Class as ErrorConstructor)()
  } finally {
    Error.stackTraceLimit = limit
  }
}
