/**
 * The methods of arrays that are one atomic operation each, and their iterators. Everything else is the engine's own
 * `Array.prototype`, element by element. Called on anything but a shared array they do what the engine's do.
 */
import { ABSENT } from './cells.js'
import { HOLE } from './decode.js'
import { outOfRange, type CoheapError } from './errors.js'
import { arrayTarget, element, isStill, lengthOf, mayBeNamed, putAt, readAhead, type ArrayTarget } from './array.js'
import { isDirect, type Attachment } from './attachment.js'
import { In, Status } from './port.js'
import { append, blankList, repeated } from './property.js'
import { asBuiltIn } from './collection.js'
import { atomically } from './transaction.js'

type Method = (this: unknown, ...args: never[]) => unknown

const plain = Array.prototype

/**
 * True if a program has put elements on `Array.prototype`: the language takes them for what a hole holds and calls
 * their setters, element by element. Its length tells.
 */
function filled(): boolean {
  return plain.length !== 0
}

/** The engine's own method; on a shared array it is one transaction. */
function engines(name: keyof typeof own, t: ArrayTarget | undefined, self: unknown, args: readonly unknown[]): unknown {
  const call = () => Reflect.apply(methods.get(name)!.plain as Method, self, args) as unknown
  return t === undefined ? call() : atomically(t.attachment, call)
}

/** Before an operation of this array's own. */
function using(t: ArrayTarget): ArrayTarget {
  t.attachment.use(t)
  t.writes++
  return t
}

/** What `pop` and `shift` took out: a hole is undefined. */
function taken(t: ArrayTarget, value: unknown): unknown {
  return t.attachment.result(value)
}

function holesAsThey(values: unknown[]): unknown[] {
  for (let i = 0; i < values.length; i++) if (values[i] === HOLE) delete values[i]
  return values
}

/** ToIntegerOrInfinity: a TypeError for bigints and symbols. */
function integer(value: unknown): number {
  return Math.trunc(+(value as number)) || 0
}

/** An argument that says an index, made absolute: from 0 to `length`. */
function absolute(value: unknown, length: number, otherwise: number): number {
  if (value === undefined) return otherwise
  const n = integer(value)
  return n < 0 ? Math.max(length + n, 0) : Math.min(n, length)
}

/** All elements and the version that they were read under. */
function copyOut(t: ArrayTarget): { values: unknown[]; version: number } {
  const a = t.attachment
  a.use(t)
  a.port.range(t.h, 0, 2 ** 32 - 1)
  const version = a.nums[6]
  return { values: a.decodeMany(), version }
}

/** Puts the elements into a new order. False: the array has changed meanwhile. */
function permute(t: ArrayTarget, version: number, order: Uint32Array): boolean {
  const a = t.attachment
  using(t)
  a.stageWords(order)
  a.port.permute(t.h, version, order.length)
  if (a.state[0] === Status.STALE) return false
  a.done()
  return true
}

const NO_ELEMENT = 0xffffffff

/** A longer array is taken for a sparse one: by its elements, not by its places. */
const LONG = 2 ** 26

interface Entry {
  readonly value: unknown
  readonly from: number
}

/** What is there, and where. */
function entriesOf(t: ArrayTarget): Entry[] {
  const a = t.attachment
  a.use(t)
  a.port.indices(t.h)
  return a.decodeNumbers().map((from) => ({ value: element(t, from), from }))
}

/** Makes these the elements, in the places given, and the only ones; the length stays. */
function place(t: ArrayTarget, entries: readonly (readonly [number, unknown])[]): unknown {
  const length = lengthOf(t)
  t.self.length = 0
  t.self.length = length
  for (const [to, value] of entries) putAt(t, to, value)
  return t.self
}

/** In the language's order: as `compare` says, undefined last. */
function inOrder(present: readonly Entry[], compare: ((a: unknown, b: unknown) => number) | undefined): Entry[] {
  const defined = present.filter((e) => e.value !== undefined)
  const rest = present.filter((e) => e.value === undefined)
  // one alone is compared with nothing, hence not made a text either
  if (defined.length < 2) return defined.concat(rest)
  if (compare !== undefined) return defined.sort((a, b) => compare(a.value, b.value)).concat(rest)
  const texts = defined.map((entry) => ({ text: `${entry.value as number}`, entry }))
  texts.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  return texts.map(({ entry }) => entry).concat(rest)
}

const own = {
  push(this: unknown, ...items: unknown[]): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled()) return engines('push', t, this, items)
    const a = using(t).attachment
    let length: number
    if (items.length === 1) {
      const item = items[0]
      // before the rest: a user's getters run while it is staged
      const wire = isDirect(item) ? 0 : a.stage(item)
      a.state[In.HANDLE] = t.h
      a.state[In.WIRE] = wire
      length = a.port.push(isDirect(item) ? item : undefined)
    } else length = a.port.pushMany(t.h, a.stageMany(items))
    notTooLong(a)
    a.done()
    return length
  },

  pop(this: unknown): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled()) return engines('pop', t, this, [])
    return taken(t, using(t).attachment.port.pop(t.h))
  },

  shift(this: unknown): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled()) return engines('shift', t, this, [])
    return taken(t, using(t).attachment.port.shift(t.h))
  },

  unshift(this: unknown, ...items: unknown[]): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled()) return engines('unshift', t, this, items)
    const a = using(t).attachment
    const length = a.port.unshiftMany(t.h, a.stageMany(items))
    notTooLong(a)
    a.done()
    return length
  },

  splice(this: unknown, ...args: unknown[]): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled() || hasOwnConstructor(t)) return engines('splice', t, this, args)
    const start = integer(args[0])
    const count = args.length === 0 ? 0 : args.length === 1 ? Infinity : integer(args[1])
    const items = args.slice(2)
    if (start >= 0) return spliced(t, start, count, items)
    return atomically(t.attachment, () => spliced(t, Math.max(lengthOf(t) + start, 0), count, items))
  },

  sort(this: unknown, compare?: (a: unknown, b: unknown) => number): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled()) return engines('sort', t, this, [compare])
    if (compare !== undefined && typeof compare !== 'function') {
      throw new TypeError('The comparison function must be either a function or undefined')
    }
    if (lengthOf(t) > LONG) {
      return atomically(t.attachment, () => {
        const ordered = inOrder(entriesOf(t), compare)
        return place(
          t,
          ordered.map(({ value }, to) => [to, value] as const),
        )
      })
    }
    for (;;) {
      const { values, version } = copyOut(t)
      const present: Entry[] = []
      for (let from = 0; from < values.length; from++) {
        const value = values[from]
        if (value !== HOLE) append(present, { value, from })
        else if (from in plain) return engines('sort', t, this, [compare])
      }
      const order = new Uint32Array(values.length).fill(NO_ELEMENT)
      inOrder(present, compare).forEach(({ from }, to) => (order[to] = from))
      if (permute(t, version, order)) return this
    }
  },

  reverse(this: unknown): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled()) return engines('reverse', t, this, [])
    for (;;) {
      const a = t.attachment
      a.use(t)
      a.port.range(t.h, 0, 0)
      const version = a.nums[6]
      if (a.state[0] !== Status.WIRE) throw a.fault()
      const n = lengthOf(t)
      if (n > LONG) {
        return atomically(a, () =>
          place(
            t,
            entriesOf(t).map(({ value, from }) => [lengthOf(t) - 1 - from, value]),
          ),
        )
      }
      const order = new Uint32Array(n)
      for (let i = 0; i < n; i++) order[i] = n - 1 - i
      if (permute(t, version, order)) return this
    }
  },

  fill(this: unknown, value?: unknown, start?: unknown, end?: unknown): unknown {
    const t = arrayTarget(this)
    if (t === undefined || filled()) return engines('fill', t, this, [value, start, end])
    const a = t.attachment
    return atomically(a, () => {
      const length = lengthOf(t)
      const from = absolute(start, length, 0)
      const to = absolute(end, length, length)
      if (to <= from) return this
      // one object in all places, as the language has it
      const item = isDirect(value) || value === null || value === undefined ? value : a.share(value)
      spliced(t, from, to - from, repeated(to - from, item))
      return this
    })
  },

  copyWithin(this: unknown, target: number, start: number, end?: number): unknown {
    return engines('copyWithin', arrayTarget(this), this, [target, start, end])
  },

  at(this: unknown, index?: unknown): unknown {
    const t = arrayTarget(this)
    if (t === undefined) return engines('at', t, this, [index])
    const i = typeof index === 'number' && Number.isInteger(index) ? index : integer(index)
    const value = element(t, i)
    if (value !== ABSENT) return value
    const length = lengthOf(t)
    const k = i < 0 ? i + length : i
    return k >= 0 && k < length ? inherited(k) : undefined
  },

  values(this: unknown): unknown {
    const t = arrayTarget(this)
    if (t === undefined) return engines('values', t, this, [])
    return new ArrayIterator(t, false)
  },

  entries(this: unknown): unknown {
    const t = arrayTarget(this)
    if (t === undefined) return engines('entries', t, this, [])
    return new ArrayIterator(t, true)
  },
}

/** True if what `splice` gives is to be made by a constructor of the array's own. */
function hasOwnConstructor(t: ArrayTarget): boolean {
  return mayBeNamed(t) && Object.hasOwn(t.self, 'constructor')
}

/** After a call that makes the array longer: beyond 2^32-1 elements it is a RangeError, as in the language. */
function notTooLong(a: Attachment): void {
  if (a.state[0] !== Status.ERROR) return
  const error = a.fault()
  throw (error as CoheapError).code === 'ERR_COHEAP_INVALID_ARGUMENT' ? outOfRange(error.message) : error
}

function spliced(t: ArrayTarget, start: number, deleteCount: number, items: readonly unknown[]): unknown[] {
  const a = using(t).attachment
  const bounded = (n: number) => Math.min(Math.max(n, 0), 2 ** 32 - 1)
  const wire = a.stageMany(items)
  a.port.splice(t.h, bounded(start), bounded(deleteCount), wire)
  notTooLong(a)
  return holesAsThey(a.decodeMany())
}

const FIRST_RUN = 8
const LONGEST_RUN = 128
const none: unknown[] = []

/**
 * Goes through an array as the engine's iterator does: each step gives what the array holds then. What can be read without
 * crossing is read ahead in runs, and counts as long as the version is the one that the run was read under: a step is
 * one look at the version and one at the run (10 ns, an element by itself 16).
 */
class ArrayIterator {
  #t: ArrayTarget | undefined
  readonly #pairs: boolean
  #i = 0
  /** The elements from `#start` to `#end`. */
  #run = none
  #start = 0
  #end = 0
  /** The low half of the array's word 0 when it was read. */
  #version = 1

  constructor(t: ArrayTarget, pairs: boolean) {
    this.#t = t
    this.#pairs = pairs
  }

  next(): IteratorResult<unknown, undefined> {
    const t = this.#t
    if (t === undefined) return { value: undefined, done: true }
    const i = this.#i
    const step = i - this.#start
    const value = i < this.#end && isStill(t, this.#version, step) ? this.#run[step] : this.#fetch(t, i)
    if (this.#t === undefined) return { value: undefined, done: true }
    this.#i = i + 1
    return { value: this.#pairs ? [i, value] : value, done: false }
  }

  /** The element, which begins a new run if more follow that can be read ahead. */
  #fetch(t: ArrayTarget, i: number): unknown {
    let run = this.#run
    // one that was cut short by a change, and one of objects, is followed by a short one
    const wanted = i < this.#end || this.#end === this.#start ? FIRST_RUN : Math.min(2 * run.length, LONGEST_RUN)
    if (run.length !== wanted) this.#run = run = blankList<unknown>(wanted)
    const n = readAhead(t, i, run)
    this.#version = t.seen
    this.#start = i
    this.#end = i + n
    if (n > 0) return run[0]
    const value = element(t, i)
    if (value !== ABSENT) return value
    if (i < lengthOf(t)) return inherited(i)
    this.#t = undefined
    return undefined
  }
}
asBuiltIn(ArrayIterator, 'Array Iterator')

/** What a hole reads as: nearly always undefined. */
function inherited(i: number): unknown {
  return (Array.prototype as unknown[])[i]
}

/** A method that shared arrays have of their own, and the engine's that it stands for. */
export interface OwnMethod {
  readonly shared: unknown
  readonly plain: unknown
}

/** The methods that shared arrays have of their own. */
export const methods: ReadonlyMap<string | symbol, OwnMethod> = new Map(
  [...Object.entries(own), [Symbol.iterator, own.values] as const].map(([name, shared]) => [
    name,
    { shared, plain: plain[name as keyof unknown[]] as unknown },
  ]),
)

for (const { shared, plain } of methods.values()) {
  const { length } = plain as (...args: never[]) => unknown
  Object.defineProperty(shared, 'length', { value: length, configurable: true })
}
