/**
 * Declared types of properties: which kind of value each takes, and what becomes of a number that does not fit.
 */
import { wrongType } from './errors.js'

/**
 * The type of a field: numbers (`f64 f32 i8 u8 i16 u16 i32 u32`, wrapped as typed arrays do), `bool`, bigints
 * (`i64 u64`, wrapped too), `string`, or `any` storable value.
 */
export type FieldType =
  'f64' | 'f32' | 'i8' | 'u8' | 'i16' | 'u16' | 'i32' | 'u32' | 'bool' | 'i64' | 'u64' | 'string' | 'any'

/** Types of fields by their names. */
export type Fields = Readonly<Record<string, FieldType>>

/** What a field of a type takes. */
export interface Kind {
  /** `typeof` of a value that it takes; undefined: any. */
  readonly takes: 'number' | 'boolean' | 'bigint' | 'string' | undefined
  readonly wrap?: (value: never) => unknown
}

/** What a field of this type takes. */
export function kindOfField(type: FieldType): Kind {
  return KINDS[type]
}

/** What a field of this type holds where nothing is given. */
export function initialOf(type: FieldType): unknown {
  switch (KINDS[type].takes) {
    case 'number':
      return 0
    case 'boolean':
      return false
    case 'bigint':
      return 0n
    case 'string':
      return ''
    case undefined:
      return undefined
  }
}

const KINDS: Readonly<Record<FieldType, Kind>> = {
  f64: { takes: 'number' },
  f32: { takes: 'number', wrap: (x: number) => Math.fround(x) },
  i8: { takes: 'number', wrap: (x: number) => (x << 24) >> 24 },
  u8: { takes: 'number', wrap: (x: number) => x & 0xff },
  i16: { takes: 'number', wrap: (x: number) => (x << 16) >> 16 },
  u16: { takes: 'number', wrap: (x: number) => x & 0xffff },
  i32: { takes: 'number', wrap: (x: number) => x | 0 },
  u32: { takes: 'number', wrap: (x: number) => x >>> 0 },
  bool: { takes: 'boolean' },
  i64: { takes: 'bigint', wrap: (x: bigint) => BigInt.asIntN(64, x) },
  u64: { takes: 'bigint', wrap: (x: bigint) => BigInt.asUintN(64, x) },
  string: { takes: 'string' },
  any: { takes: undefined },
}

/** The types of some properties, looked up by name. */
export type FieldTypes = ReadonlyMap<string | symbol, FieldType>

/**
 * What `fields` declares.
 * @throws ERR_COHEAP_INVALID_ARGUMENT for what is no declaration
 */
export function fieldTypes(fields: unknown): FieldTypes {
  if (fields === null || typeof fields !== 'object') throw wrongType('fields must be an object of names and types')
  const types = new Map<string, FieldType>()
  for (const [name, type] of Object.entries(fields as Record<string, unknown>)) {
    if (typeof type !== 'string' || !Object.hasOwn(KINDS, type)) {
      throw wrongType(
        `the field ${name} has a type that does not exist: ${typeof type === 'string' ? type : typeof type}`,
      )
    }
    types.set(name, type as FieldType)
  }
  return types
}

/** True if both declare the same. */
export function sameFields(a: FieldTypes | undefined, b: FieldTypes | undefined): boolean {
  if (a?.size !== b?.size) return false
  for (const [name, type] of a ?? []) if (b?.get(name) !== type) return false
  return true
}

/**
 * A value on its way into a property: as its field stores it, or as it is where nothing is declared.
 * @throws ERR_COHEAP_INVALID_ARGUMENT for a wrong kind of value
 */
export function fitting(fields: FieldTypes, key: string | symbol, value: unknown, place: () => string): unknown {
  const type = fields.get(key)
  if (type === undefined) return value
  const { takes, wrap } = KINDS[type]
  if (takes === undefined) return value
  if (typeof value !== takes) {
    const found = value === null ? 'null' : typeof value
    throw wrongType(`the field ${String(key)} takes a ${takes} (${type}), not ${found}: ${place()}`)
  }
  return wrap === undefined ? value : wrap(value as never)
}
