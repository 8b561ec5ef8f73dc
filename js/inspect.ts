/**
 * How `util.inspect` and `console.log` show live objects: marked as shared, cycles as such, and a word in place of
 * what cannot be read.
 */
import type { ArrayTarget } from './array.js'
import { lengthOf, namedKeys } from './array.js'
import { PLAIN, notRegistered } from './classes.js'
import { entriesOf } from './record.js'
import type { RecordTarget } from './record.js'
import { Cursor, type CollectionTarget } from './collection.js'
import { CoheapError } from './errors.js'
import { HOLE } from './decode.js'
import { append, dataProperty, setNew } from './property.js'
import { special } from './stand-in.js'
import type { Target } from './target.js'

type Inspect = (value: unknown, options: object) => string
interface Options {
  depth?: number | null
  stylize?: (text: string, style: string) => string
  maxArrayLength?: number | null
}

/** So many places of an array are fetched at once, however many are to be shown. */
const MOST_IN_LINE = 100_000

const custom = Symbol.for('nodejs.util.inspect.custom')

/** What is being shown further out: a live object that comes again is circular. */
const open: object[] = []
/** Those of them that have come again, in that order: the numbers of their references, as Node.js gives them. */
const again: object[] = []

/**
 * `name {…}`, or what is to be shown in its place.
 * @param before stands before the text that `inspect` gives for what `make` gives
 */
export function shown(
  t: Pick<Target, 'self'>,
  name: string,
  depth: number,
  options: Options,
  make: () => unknown,
  inspect: unknown,
  before = `${name} `,
): string {
  const { self } = t
  if (open.includes(self)) {
    if (!again.includes(self)) append(again, self)
    return special(`[Circular *${again.indexOf(self) + 1}]`, options)
  }
  if (depth < 0) return special(`[${name}]`, options)
  append(open, self)
  try {
    // what is inside is shown as what it is, even where Proxies are to be shown as such
    const inner = { ...options, depth, showProxy: false }
    const text = before + (inspect as Inspect)(make(), inner)
    const number = again.indexOf(self) + 1
    return number === 0 ? text : `${special(`<ref *${number}>`, options)} ${text}`
  } catch (error) {
    if (error instanceof CoheapError && error.code === 'ERR_COHEAP_DESTROYED') return special('[destroyed]', options)
    if (error instanceof CoheapError && error.code === 'ERR_COHEAP_CLOSED') return special('[closed]', options)
    throw error
  } finally {
    open.pop()
    if (open.length === 0) again.length = 0
  }
}

/** Has the traps shown as one word where Proxies are shown as such, as Node's REPL does. */
export function shownShort<T extends object>(handler: T): T {
  const value = (_depth: number, options: Options) => options.stylize?.('[live]', 'special') ?? '[live]'
  return Object.defineProperty(handler, Symbol.for('nodejs.util.inspect.custom'), { value })
}

function plain(entries: unknown[], into: object): object {
  for (let i = 0; i < entries.length; i += 2) {
    Object.defineProperty(into, entries[i] as string | symbol, dataProperty(entries[i + 1]))
  }
  return into
}

/** `Shared { a: 1 }`, `Shared Account { a: 1 }` */
export function inspectRecord(t: RecordTarget, depth: number, options: Options, inspect: unknown): unknown {
  const { info, self } = t
  const { prototype } = info
  if (prototype === undefined) return special(notRegistered(info.name), options)
  if (prototype === null || info === PLAIN) {
    const name = prototype === null ? 'Shared: null prototype' : 'Shared'
    return shown(t, name, depth, options, () => plain(entriesOf(t), {}), inspect)
  }
  // a class may have its own way
  const own = (prototype as Record<symbol, unknown>)[custom]
  if (typeof own === 'function') return own.call(self, depth, options, inspect) as unknown
  if (depth < 0) return shown(t, `Shared ${info.name}`, depth, options, () => undefined, inspect)
  return shown(t, 'Shared', depth, options, () => plain(entriesOf(t), Object.create(prototype) as object), inspect)
}

/** `Shared [ 1, 2 ]` */
export function inspectArray(t: ArrayTarget, depth: number, options: Options, inspect: unknown): string {
  const make = () => {
    const a = t.attachment
    const length = lengthOf(t)
    const wanted = Math.min(length, (options.maxArrayLength ?? Infinity) + 1)
    const most = Math.min(wanted, MOST_IN_LINE)
    a.use(t)
    a.port.range(t.h, 0, most)
    const values = a.decodeMany()
    let holes = 0
    for (let i = 0; i < values.length; i++) if (values[i] === HOLE) holes += Number(delete values[i])
    if (most === values.length) values.length = length
    // holes in a row count as one, so there is room for more
    const further = wanted - most + holes
    if (further > 0 && length > most) addFurther(t, values, most, further)
    return plain(namedEntries(t), values)
  }
  return shown(t, 'Shared', depth, options, make, inspect)
}

/** Adds the first elements that stand at `from` and beyond, so many of them. */
function addFurther(t: ArrayTarget, values: unknown[], from: number, count: number): void {
  const a = t.attachment
  a.use(t)
  a.port.indices(t.h)
  const indices = a.decodeNumbers().filter((i) => i >= from)
  for (let n = 0; n < Math.min(count, indices.length); n++) {
    const i = indices[n]
    a.use(t)
    a.port.range(t.h, i, 1)
    const [value = HOLE] = a.decodeMany()
    if (value !== HOLE) setNew(values, i, value)
  }
}

function namedEntries(t: ArrayTarget): unknown[] {
  const entries: unknown[] = []
  for (const key of namedKeys(t)) {
    append<unknown>(entries, key)
    append(entries, Reflect.get(t.self, key))
  }
  return entries
}

/** `SharedMap(2) { … }` */
export function inspectMap(t: CollectionTarget, depth: number, options: Options, inspect: unknown): string {
  const make = () => {
    const map = new Map()
    for (const cursor = new Cursor(t, 2, true); cursor.next();) map.set(cursor.key, cursor.value)
    return map
  }
  return shown(t, 'SharedMap', depth, options, make, inspect, 'Shared')
}

/** `SharedSet(2) { … }` */
export function inspectSet(t: CollectionTarget, depth: number, options: Options, inspect: unknown): string {
  const make = () => {
    const set = new Set()
    for (const cursor = new Cursor(t, 1, true); cursor.next();) set.add(cursor.key)
    return set
  }
  return shown(t, 'SharedSet', depth, options, make, inspect, 'Shared')
}
