/**
 * The frames of the encoder's stack, and the place in a value that they name.
 */
import { keySegment } from './classify.js'
import type { FieldTypes } from './fields.js'

export const OBJECT = 0
export const ARRAY = 1
export const MAP = 2
export const SET = 3
export const REFERENCES = 4
export const ERROR = 5

/** A container whose members are being written. */
export interface Frame {
  kind: number
  source: object
  /** The member that is being written is the one before this. */
  i: number
  n: number
  /** OBJECT, ERROR: keys. ARRAY: keys beyond the elements. MAP, SET: members. */
  keys: readonly unknown[]
  /** OBJECT with tag 11, extra keys: the keys are written too. */
  named: boolean
  /** OBJECT: the declared types of its properties. */
  fields: FieldTypes | undefined
  /** REFERENCES: the content that follows them. ERROR: the values of the fixed fields. OBJECT in content: what others may be like. */
  extra: unknown
}

/** The step of a path from a container to the member that is being written. */
export function segment(frame: Frame): string {
  const at = frame.i - 1
  if (at < 0) return ''
  switch (frame.kind) {
    case OBJECT:
      return keySegment(frame.keys[at] as string | symbol)
    case ARRAY:
      return at < frame.n ? `[${at}]` : keySegment(frame.keys[at - frame.n] as string | symbol)
    case MAP: {
      if (at % 2 === 0) return `.keys()[${at / 2}]`
      const key = frame.keys[at - 1]
      if (typeof key === 'string') return `.get(${JSON.stringify(key)})`
      if (typeof key === 'bigint') return `.get(${key}n)`
      if (key === null || (typeof key !== 'object' && typeof key !== 'function')) {
        return `.get(${String(key)})`
      }
      return `.values()[${(at - 1) / 2}]`
    }
    case SET:
      return `.values()[${at}]`
    case REFERENCES:
      return (frame.extra as { places: string[] } | undefined)?.places[at] ?? ''
    default:
      return keySegment(frame.keys[at] as string | symbol)
  }
}
