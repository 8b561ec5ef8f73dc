/**
 * Stand-ins for members that cannot be read, where several are read at once: what is well can be used, and what is not
 * throws when it is. Read by itself, such a member throws at once.
 */
import { CoheapError } from './errors.js'

const custom = Symbol.for('nodejs.util.inspect.custom')

/** How often something was met that cannot be read; 0 as long as all is well. */
export const unreadable = { count: 0 }

interface Options {
  stylize?: (text: string, style: string) => string
}

/** A text in place of a value, as `util.inspect` marks it. */
export function special(text: string, options: Options): string {
  return options.stylize?.(text, 'special') ?? text
}

const standIns = new WeakMap<object, StandIn>()

class StandIn {
  readonly text: string
  readonly error: () => Error
  constructor(text: string, error: () => Error) {
    this.text = text
    this.error = error
  }
  /** Node prints a Proxy by its target. */
  [custom](_depth: number, options: Options): string {
    return special(standIns.get(this)?.text ?? '', options)
  }
}

const refusing: ProxyHandler<StandIn> = {}
for (const trap of Object.getOwnPropertyNames(Reflect)) {
  ;(refusing as Record<string, (t: StandIn, key: unknown) => unknown>)[trap] = (t, key) => {
    // an object on its way through a promise is asked for its `then`
    if (trap === 'get' && key === 'then') return undefined
    throw t.error()
  }
}

/** A stand-in whose every use throws this error, and which is shown as this text. */
export function standIn(text: string, error: () => Error): object {
  unreadable.count++
  const target = new StandIn(text, error)
  const proxy = new Proxy(target, refusing)
  standIns.set(proxy, target)
  return proxy
}

/** Throws what the use of a stand-in throws; does nothing for any other value. */
export function refuseStandIn(value: object): void {
  const target = standIns.get(value)
  if (target !== undefined) throw target.error()
}

/**
 * A property `then`, which a promise asks for in every object on its way through: a destroyed one has none. Else a put that
 * has been done would be rejected when its message has been taken and destroyed meanwhile.
 */
export function thenOf(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    if (error instanceof CoheapError && error.code === 'ERR_COHEAP_DESTROYED') return undefined
    throw error
  }
}
