/**
 * The containers of a value that is being encoded, numbered as they appear: what appears again is said by its number.
 */
import { repeated } from './property.js'

/** So many are remembered in a list: they are sooner looked through than a Map is made. */
const EARLY = 16
/** In the place of a container that there is not, or that must not be kept alive. */
const nothing = {}

/** See the head of this file. */
export class Seen {
  /** How many there are. */
  count = 0
  private readonly early = repeated<object>(EARLY, nothing)
  private later: Map<object, number> | undefined

  /** The number of this container, or -1. */
  find(value: object): number {
    const { early, count } = this
    const n = count < EARLY ? count : EARLY
    for (let id = 0; id < n; id++) if (early[id] === value) return id
    return this.later?.get(value) ?? -1
  }

  /** Gives this one the next number. */
  add(value: object): number {
    if (this.count < EARLY) this.early[this.count] = value
    else (this.later ??= new Map()).set(value, this.count)
    return this.count++
  }

  /** Forgets all, and keeps none of them alive. */
  clear(): void {
    for (let i = Math.min(this.count, EARLY) - 1; i >= 0; i--) this.early[i] = nothing
    this.count = 0
    this.later = undefined
  }
}
