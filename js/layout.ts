/**
 * The layout of a struct: its name and its fields, in order, with their types. A heap knows it as the name of a class,
 * `struct ["Point",{"x":"f64","y":"f64"}]`, so another layout is another class, and whoever reads an instance can tell
 * what it holds.
 */
import { wrongType } from './errors.js'
import { fieldTypes, type FieldType } from './fields.js'
import { isIndex } from './classify.js'

/** A shape has no more keys. */
const MOST_FIELDS = 64
const LONGEST_NAME = 255
const PREFIX = 'struct ['

/** What the prototype of a struct has already. */
const TAKEN: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'toJSON'])

/** The name and fields of a struct. Immutable. */
export class Layout {
  /** The name that people know: `Point`. */
  readonly name: string
  /** The fields, in the order of their slots. */
  readonly names: readonly string[]
  readonly types: readonly FieldType[]
  /** The name of the class, as it stands in a heap. */
  readonly text: string

  constructor(name: string, names: readonly string[], types: readonly FieldType[]) {
    this.name = name
    this.names = names
    this.types = types
    this.text = `struct ${JSON.stringify([name, Object.fromEntries(names.map((key, i) => [key, types[i]]))])}`
  }
}

/** True for names of classes that only structs have. */
export function isLayout(name: string): boolean {
  return name.startsWith(PREFIX)
}

/**
 * The layout that is declared so.
 * @throws ERR_COHEAP_INVALID_ARGUMENT for what is no declaration of a struct
 */
export function layoutOf(name: unknown, fields: unknown): Layout {
  if (typeof name !== 'string' || name === '')
    throw wrongType('the name of a struct must be a string that is not empty')
  if (name.length > LONGEST_NAME) throw wrongType(`the name of a struct has at most ${LONGEST_NAME} characters`)
  const types = fieldTypes(fields)
  if (types.size > MOST_FIELDS) throw wrongType(`the struct ${name} has more than ${MOST_FIELDS} fields`)
  const names = [...types.keys()] as string[]
  for (const key of names) {
    if (TAKEN.has(key) || isIndex(key)) throw wrongType(`a field of the struct ${name} cannot be called ${key}`)
  }
  return new Layout(name, names, [...types.values()])
}

/** The layout that the name of a class says; undefined if it is no struct's. */
export function parseLayout(text: string): Layout | undefined {
  if (!isLayout(text)) return undefined
  try {
    const [name, fields] = JSON.parse(text.slice(PREFIX.length - 1)) as unknown[]
    const layout = layoutOf(name, fields)
    return layout.text === text ? layout : undefined
  } catch {
    return undefined
  }
}
