/**
 * Paths to a value, as error messages write them: `$` is the root (it may be left out), then `.key`, `["odd key"]`,
 * `[3]`, `.get("k")` for a map's value, `.values()[2]` and `.keys()[2]` for members of a map or a set.
 */
import { fail } from '../errors.js'
import { SharedMap } from '../map.js'
import { SharedSet } from '../set.js'
import { fieldsOf } from '../struct.js'

interface Step {
  kind: 'key' | 'get' | 'keys' | 'values'
  key: string | number
}

const STEP =
  /\.(keys|values)\(\)\[(\d+)\]|\.get\(("(?:[^"\\]|\\.)*"|-?[\d.]+)\)|\[(\d+|"(?:[^"\\]|\\.)*")\]|\.([^.[\]()"\s]+)/y

/**
 * The steps of a path.
 * @throws ERR_COHEAP_INVALID_ARGUMENT
 */
export function steps(path: string): Step[] {
  const text = path.startsWith('$') ? path.slice(1) : /^[.[]/.test(path) || path === '' ? path : `.${path}`
  const found: Step[] = []
  STEP.lastIndex = 0
  while (STEP.lastIndex < text.length) {
    const from = STEP.lastIndex
    const match = STEP.exec(text)
    if (match === null) throw fail('ERR_COHEAP_INVALID_ARGUMENT', `not a path from here on: ${text.slice(from)}`)
    const [, members, index, got, element, name = ''] = match
    if (members !== undefined) found.push({ kind: members === 'keys' ? 'keys' : 'values', key: Number(index) })
    else if (got !== undefined) found.push({ kind: 'get', key: literal(got) })
    else found.push({ kind: 'key', key: element === undefined ? name : String(literal(element)) })
  }
  return found
}

function literal(text: string): string | number {
  try {
    return JSON.parse(text) as string | number
  } catch {
    throw fail('ERR_COHEAP_INVALID_ARGUMENT', `neither a string nor a number: ${text}`)
  }
}

/**
 * The value at the end of a path.
 * @throws ERR_COHEAP_INVALID_ARGUMENT where there is none
 */
export function follow(value: unknown, path: Step[]): unknown {
  for (const { kind, key } of path) {
    const missing = () => fail('ERR_COHEAP_INVALID_ARGUMENT', `there is nothing at ${JSON.stringify(key)} of the path`)
    if (value === null || typeof value !== 'object') throw missing()
    if (kind === 'key') {
      const fields = fieldsOf(value)
      if (!(fields === undefined ? Object.hasOwn(value, key) : fields.includes(String(key)))) throw missing()
      value = (value as Record<string, unknown>)[key]
    } else if (kind === 'get') {
      if (!(value instanceof SharedMap) || !value.has(key)) throw missing()
      value = value.get(key)
    } else {
      if (!(value instanceof SharedMap || value instanceof SharedSet)) throw missing()
      const all = [...value[kind]()]
      if (Number(key) >= all.length) throw missing()
      value = all[Number(key)]
    }
  }
  return value
}
