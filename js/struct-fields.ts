/**
 * The accessors of one struct's fields.
 *
 * {@link accessors} is evaluated anew for each struct. The engine keeps what it learns about a piece of code with the
 * functions of one evaluation: with one for all, the accessors of more than four structs would meet more kinds of objects
 * than it tells apart, and each read would look for the private field (20 ns instead of 5). So the function refers to
 * nothing around it; all that it needs is handed in.
 */
import { Script } from 'node:vm'
import { again, immediate } from './cells.js'
import * as cells from './cells.js'
import { PLAIN, unregistered, type ClassInfo } from './classes.js'
import { fail, wrongType } from './errors.js'
import { initialOf, kindOfField, type FieldType } from './fields.js'
import { RecordTarget, ask, store } from './record.js'
import { FIRST_SLOT, UNKNOWN } from './shapes.js'
import { Given } from './target.js'

/** The values of an instance that is not live, by their names. */
export type Values = Record<string, unknown>

/** What stands behind an instance that is not live. */
export class LocalTarget {
  readonly info: ClassInfo
  readonly values: Values
  constructor(info: ClassInfo, values: Values) {
    this.info = info
    this.values = values
  }
}

/** All that {@link accessors} refers to. */
const needed = () => ({
  ABSENT: cells.ABSENT,
  ASK: cells.ASK,
  FIRST_SLOT,
  Given,
  RecordTarget,
  UNKNOWN,
  again,
  asked,
  elsewhere,
  fail,
  fitted,
  immediate,
  kindOfField,
  scratchF: cells.scratchF,
  scratchU: cells.scratchU,
  store,
  unregistered,
})
type Needed = ReturnType<typeof needed>

/** What stands behind the instances of one struct, and the accessors that read it. */
export interface Accessors {
  /** Ties an instance to what stands behind it. */
  new (object: object, behind: RecordTarget | LocalTarget): object
  /** Reads a field whose slot stands in the object itself. */
  getter(name: string, slot: number): () => unknown
  /** Reads a field whose slot does not. */
  distantGetter(name: string): () => unknown
  setter(info: ClassInfo, name: string, slot: number): (value: unknown) => void
}

function accessors(needed: Needed): Accessors {
  const { ABSENT, ASK, FIRST_SLOT, Given, RecordTarget, UNKNOWN, scratchF, scratchU } = needed
  const { again, asked, elsewhere, fail, fitted, immediate, kindOfField, store, unregistered } = needed
  // a private field of its own besides the one that every live object has: where this is asked for there is one
  return class Instance extends Given {
    #behind: RecordTarget | LocalTarget
    constructor(object: object, behind: RecordTarget | LocalTarget) {
      super(object)
      this.#behind = behind
    }

    static getter(name: string, slot: number): (this: Instance) => unknown {
      const word = FIRST_SLOT + slot
      return function () {
        const t = this.#behind
        if (!(t instanceof RecordTarget)) return elsewhere(t, name)
        if (t.attachment.gate === 0) {
          const u32 = t.u32
          const low = t.low
          const version = u32[low]
          if ((version & 1) === 0 && u32[low + 2] === t.shape.id) {
            const x = t.f64[t.base + word]
            scratchF[0] = x
            if (x === x) return x
            if (again(u32, low) === version) {
              const { child } = t
              if (child !== undefined && scratchU[0] === t.childLow && scratchU[1] === t.childHigh) return child
              const value = immediate(t)
              if (value !== ASK && value !== ABSENT) return value
            }
          }
        }
        return asked(t, name)
      }
    }

    static distantGetter(name: string): (this: Instance) => unknown {
      return function () {
        const t = this.#behind
        return t instanceof RecordTarget ? asked(t, name) : elsewhere(t, name)
      }
    }

    static setter(info: ClassInfo, name: string, slot: number): (this: Instance, value: unknown) => void {
      const { name: struct, types } = info.layout!
      const type = types[slot]
      const { takes, wrap } = kindOfField(type)
      return function (value) {
        const t = this.#behind
        if (t instanceof RecordTarget) {
          if (info.prototype === undefined) throw unregistered(info.name)
          const stored = typeof value === takes && wrap === undefined ? value : fitted(struct, name, type, value)
          store(t, name, t.shape === UNKNOWN ? undefined : slot, stored)
          return
        }
        if (Object.isFrozen(this)) {
          throw fail('ERR_COHEAP_READ_ONLY', `the ${struct} is frozen: ${name} cannot be changed`)
        }
        t.values[name] = fitted(struct, name, type, value)
      }
    }
  }
}

/** What stack traces say. */
const SOURCE = 'coheap:struct-fields'
let script: Script | undefined

/** The accessors of one more struct. */
export function newAccessors(): Accessors {
  try {
    // no `eval`: Node.js can be told to forbid that
    script ??= new Script(`(${String(accessors)})`, { filename: SOURCE })
    const made = (script.runInThisContext() as typeof accessors)(needed())
    // what a tool has put into it may be missed only when it is used
    const tried = new made({}, new LocalTarget(PLAIN, { x: 1 }))
    if (made.getter('x', 0).call(tried) === 1) return made
  } catch {
    // as below
  }
  // a tool has made something of the source that does not stand by itself: all structs share one evaluation then
  return accessors(needed())
}

/** A field of a live instance that cannot be read without crossing. */
function asked(t: RecordTarget, name: string): unknown {
  if (t.info.prototype === undefined) throw unregistered(t.info.name)
  const value = ask(t, name)
  return value === cells.ABSENT ? initialValue(t.info, name) : value
}

/** A field of an instance that is not live. */
function elsewhere(t: LocalTarget, name: string): unknown {
  const value = t.values[name]
  return value === undefined ? initialValue(t.info, name) : value
}

function initialValue(info: ClassInfo, name: string): unknown {
  const { names, types } = info.layout!
  return initialOf(types[names.indexOf(name)])
}

/** A value as the field holds it. */
export function fitted(struct: string, name: string, type: FieldType, value: unknown): unknown {
  const { takes, wrap } = kindOfField(type)
  if (takes === undefined) return value
  if (typeof value !== takes) {
    const found = value === null ? 'null' : typeof value
    throw wrongType(`the field ${name} of a ${struct} takes a ${takes} (${type}), not ${found}`)
  }
  return wrap === undefined ? value : wrap(value as never)
}
