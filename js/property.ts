/**
 * Property descriptors that mean what they say, and elements that are a list's own, whatever a program has put on
 * `Object.prototype` and `Array.prototype`.
 */

/**
 * Under this key a wrapper that is no Proxy shows its members to who compares by own properties, as
 * `assert.deepStrictEqual` does. Copied along with other properties, by spread or `Object.assign`, it is not stored.
 */
export const members = Symbol('members')

/** A descriptor that inherits nothing. */
export function ownOnly(property: PropertyDescriptor): PropertyDescriptor {
  return Object.setPrototypeOf(property, null) as PropertyDescriptor
}

/** The descriptor of a data property, of our own making. */
export function descriptor(property: PropertyDescriptor): PropertyDescriptor {
  // an inherited `get` or `set` would count; but the engine is fast with ordinary objects only
  return property.get === undefined && property.set === undefined ? property : ownOnly(property)
}

/** A data property as an assignment makes it. */
export function dataProperty(value: unknown): PropertyDescriptor {
  return descriptor({ value, writable: true, enumerable: true, configurable: true })
}

/** True for the descriptor of an accessor property, as the engine gives it. */
export function isAccessor(property: PropertyDescriptor): boolean {
  return (property.get !== undefined || property.set !== undefined) && !Object.hasOwn(property, 'value')
}

/** Sets an element that the list has not got. An assignment would call a setter under that index on a prototype. */
export function setNew<T>(list: T[], index: number, value: T): void {
  if (index in list) Object.defineProperty(list, index, dataProperty(value))
  else list[index] = value
}

const concat = Array.prototype.concat as <T>(this: readonly T[], more: readonly T[]) => T[]
const slice = Array.prototype.slice as <T>(this: readonly T[], from: number, to: number) => T[]
/** More elements than this are copied from no list of ours. */
const MOST_BLANKS = 1 << 16
let blanks: readonly undefined[] = Array.from({ length: 64 }, () => undefined)

/** A list of so many elements of its own, undefined, which assignments set. Cheaper than {@link setNew} for each. */
export function blankList<T>(n: number): T[] {
  if (n > MOST_BLANKS) return Array.from({ length: n })
  while (blanks.length < n) blanks = concat.call(blanks, blanks) as undefined[]
  return slice.call(blanks, 0, n) as T[]
}

/** As `push`, which would call such a setter too. */
export function append<T>(list: T[], value: T): number {
  setNew(list, list.length, value)
  return list.length
}

/** A list with so many times the same. */
export function repeated<T>(count: number, value: T): T[] {
  const list: T[] = []
  for (let i = 0; i < count; i++) append(list, value)
  return list
}
