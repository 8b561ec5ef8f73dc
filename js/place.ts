/**
 * The frames of the encoder's stack, and the place in a value that they name.
 */
import { keySegment } from './classify.js'
import type { FieldTypes } from './fields.js'
import { append } from './property.js'

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

/** In the place of a container that must not be kept alive. */
const nothing = {}
const none: readonly unknown[] = []

/** The stack. Its frames are used again. */
export class Frames {
  depth = 0
  private readonly frames: Frame[] = []

  /** The innermost one. */
  get top(): Frame {
    return this.frames[this.depth - 1]
  }

  push(kind: number, source: object, n: number, keys: readonly unknown[], named: boolean): void {
    if (this.depth === this.frames.length) {
      append(this.frames, { kind, source, i: 0, n, keys, named, extra: undefined, fields: undefined })
    } else {
      const frame = this.frames[this.depth]
      frame.kind = kind
      frame.source = source
      frame.i = 0
      frame.n = n
      frame.keys = keys
      frame.named = named
      frame.fields = undefined
    }
    this.depth++
  }

  /** Ends the innermost one, and keeps nothing of it alive. */
  pop(): void {
    const frame = this.frames[--this.depth]
    frame.source = nothing
    frame.keys = none
    frame.extra = undefined
  }

  /** Where the member that is being written stands, from the outermost container on. */
  path(): string {
    return this.frames.slice(0, this.depth).map(segment).join('')
  }
}

/** The step of a path from a container to the member that is being written. */
function segment(frame: Frame): string {
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
