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

/** As `push`, which would call such a setter too. */
export function append<T>(list: T[], value: T): number {
  setNew(list, list.length, value)
  return list.length
}
