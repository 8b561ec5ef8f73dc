/**
 * Where the entries of a shared map stand that this thread has asked for: the next `get` reads the value there, in the
 * read-only window, without crossing into native code and without going by the key's hash.
 *
 * The native side says where an entry stands, of numbers and other values that stand in their cell. Between two looks
 * at the version word that guards the entry, and as long as the map's body and its word for stripes are still these, the
 * key's cell has the same bits and the key's block the same version, it is the entry of that key: an entry is never moved
 * within its body nor used for another key, and a block that has been freed never has a version again that it had
 * (`crates/objects/src/map.rs`, `Place`). What does not look like that is asked for natively.
 */
import type { Window } from './windows.js'
import { again, immediate, type ChildCache } from './cells.js'
import * as cells from './cells.js'

// the compiler knows what a constant of this module is, and not what an imported one is
const { ABSENT, ASK, scratchF } = cells

/** Most keys that are remembered of a map. */
const MOST = 16_384
/** A map is remembered from so many askings on: most are asked a few times only. */
const FEW = 32

/** Where an entry stands: places in the window, in words of 4 bytes. */
export interface Place {
  /** The low half of its version word. */
  readonly guard: number
  /** Its key's cell; the value's is the next. */
  readonly at: number
  readonly keyLow: number
  readonly keyHigh: number
  /** The low half of word 0 of the key's block; of a key without one, the key's cell again. */
  readonly block: number
  /** What stands there. */
  readonly blockLow: number
}

/** What the places of a map's entries have in common: the offsets of its body and of its stripes as its identity has them. */
export interface Common {
  readonly body: number
  readonly stripes: number
}

const noChild: ChildCache = { child: undefined, childLow: 0, childHigh: 0 }

/** See the head of this file. */
export class Places {
  private window: Window | undefined
  private readonly known = new Map<unknown, Place>()
  private bodyLow = 0
  private bodyHigh = 0
  private stripesLow = 0
  private stripesHigh = 0
  private asked = 0
  private hits = 0

  /** True if it is worth being told where the entry stands. */
  wanted(): boolean {
    if (this.known.size < MOST) return this.asked >= FEW || ++this.asked >= FEW
    // few of those that are known have been asked for again: the next ones will not be either
    if (this.hits < MOST) return false
    this.forget()
    return true
  }

  private forget(): void {
    this.known.clear()
    this.hits = 0
  }

  /** Remembers where the entry of a key stands in this window. */
  add(key: unknown, place: Place, { body, stripes }: Common, window: Window): void {
    const bodyLow = body % 2 ** 32
    const bodyHigh = Math.floor(body / 2 ** 32)
    const stripesLow = stripes % 2 ** 32
    const stripesHigh = Math.floor(stripes / 2 ** 32)
    // another body has other places, and with stripes the same entry has another version word
    if (
      bodyLow !== this.bodyLow ||
      bodyHigh !== this.bodyHigh ||
      stripesLow !== this.stripesLow ||
      stripesHigh !== this.stripesHigh
    ) {
      this.known.clear()
      this.bodyLow = bodyLow
      this.bodyHigh = bodyHigh
      this.stripesLow = stripesLow
      this.stripesHigh = stripesHigh
    }
    // one window for all of them
    if (this.known.size !== 0 && this.window!.index !== window.index) return
    this.window = window
    this.known.set(key, place)
  }

  /** The value of a key; ASK: the native side must be asked. `id` and `low` say where the map's identity stands. */
  peek(id: Uint32Array, low: number, key: unknown): unknown {
    const place = this.known.get(key)
    if (place === undefined) return ASK
    const { u32, f64 } = this.window!
    const { guard, at } = place
    const version = u32[guard]
    if (
      (version & 1) !== 0 ||
      id[low + 6] !== this.bodyLow ||
      id[low + 10] !== this.stripesLow ||
      id[low + 7] !== this.bodyHigh ||
      id[low + 11] !== this.stripesHigh ||
      u32[at] !== place.keyLow ||
      u32[at + 1] !== place.keyHigh ||
      u32[place.block] !== place.blockLow
    ) {
      return ASK
    }
    const x = f64[(at >> 1) + 1]
    scratchF[0] = x
    if (again(u32, guard) !== version) return ASK
    this.hits++
    if (x === x) return x
    const value = immediate(noChild)
    return value === ABSENT ? ASK : value
  }
}
