/**
 * Cells as they stand in the read-only window: 8 bytes, a double or, where the top 13 bits are ones, a tagged value
 * (`crates/objects/src/cell.rs`). The one scratch cell of this thread: a store to it keeps the compiler from folding
 * two reads into one, and only in it does a NaN keep the payload that is the value.
 */
/** Tags from this one on name objects by reference. */
const FIRST_IDENTITY = 8

export const scratchF = new Float64Array(1)
export const scratchU = new Uint32Array(scratchF.buffer)

/** Nothing but zeros, which the compiler does not know: see {@link again}. */
export const zeros = new Uint8Array(256)

/**
 * A second look at a version word, after a cell was read into the scratch cell. Its place is reckoned with bits of that
 * cell, so it can neither be done before that reading nor be taken from an earlier look, unless the cell too is an earlier
 * one. `Atomics.load` says the same, but is a call of 8 ns wherever it stands.
 */
export function again(u32: Uint32Array, low: number): number {
  return againAfter(u32, low, scratchU[1])
}

/** As {@link again}, after several cells were read: `bits` has something of the high half of each of them. */
export function againAfter(u32: Uint32Array, low: number, bits: number): number {
  return u32[low + zeros[bits >>> 24]]
}

/** No such own property or element. */
export const ABSENT: unique symbol = Symbol('absent')
/** The native side must be asked. */
export const ASK: unique symbol = Symbol('ask')

/** The live object that was read last from a container, and the bits of the cell that refers to it. */
export interface ChildCache {
  child: object | undefined
  childLow: number
  childHigh: number
}

/** The value of the scratch cell, which is no number: ABSENT for a hole or an absent slot, ASK if it is not immediate. */
export function immediate(cache: ChildCache): unknown {
  const high = scratchU[1]
  const low = scratchU[0]
  if (high >>> 19 !== 0x1fff) return NaN
  switch ((high >>> 15) & 15) {
    case 0:
      switch (low) {
        case 0:
          return undefined
        case 1:
          return null
        case 2:
          return false
        case 3:
          return true
        default:
          return ABSENT
      }
    case 1:
      switch ((high >>> 8) & 7) {
        case 0:
          return ''
        case 1:
          return String.fromCharCode(low & 255)
        case 2:
          return String.fromCharCode(low & 255, (low >>> 8) & 255)
        case 3:
          return String.fromCharCode(low & 255, (low >>> 8) & 255, (low >>> 16) & 255)
        case 4:
          return String.fromCharCode(low & 255, (low >>> 8) & 255, (low >>> 16) & 255, low >>> 24)
        default:
          return String.fromCharCode(low & 255, (low >>> 8) & 255, (low >>> 16) & 255, low >>> 24, high & 255)
      }
    default:
      return low === cache.childLow && high === cache.childHigh && cache.child !== undefined ? cache.child : ASK
  }
}

/** Keeps a live child under the bits of the cell that refers to it, which are in the scratch cell. */
export function keep(cache: ChildCache, child: object): void {
  // what is stored by value is no identity: its block may be another value's tomorrow
  if (scratchU[1] >>> 19 !== 0x1fff || ((scratchU[1] >>> 15) & 15) < FIRST_IDENTITY) return
  cache.child = child
  cache.childLow = scratchU[0]
  cache.childHigh = scratchU[1]
}
