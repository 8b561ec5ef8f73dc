/**
 * The segment's memory as this thread reads it without crossing: read-only windows, each as far as something has been
 * found in it.
 */
import type { Port } from './port.js'

/** The bytes of a slab: all blocks but the largest lie in one. */
const SLAB = 65536
/** The bytes of a window but the last one's. */
const WINDOW = 2 ** 32 - SLAB

/** A piece of the segment, read-only: both views are of the same bytes. A longer one may take its place. */
export interface Window {
  readonly u32: Uint32Array
  readonly f64: Float64Array
  readonly bytes: number
  readonly index: number
}

/** See the head of this file. */
export class Windows {
  private readonly windows = new Map<number, Window>()
  /** Bytes that are allocated, when last asked. */
  private committed = 0

  /** `done` throws if the last native call has failed. */
  constructor(
    private readonly port: Port,
    private readonly done: () => void,
  ) {}

  /** The window that an offset lies in, as far as the end of its slab: an object's identity ends there at the latest. */
  at(at: number): Window {
    const inside = at % WINDOW
    return this.upTo(at, inside - (inside % SLAB) + SLAB)
  }

  /** The window that an offset lies in, as far as `end` at least. */
  private upTo(at: number, end: number): Window {
    const index = Math.floor(at / WINDOW)
    let window = this.windows.get(index)
    if (window === undefined || window.bytes < end) {
      const buffer = this.port.window(index, end)
      this.done()
      window = { u32: new Uint32Array(buffer), f64: new Float64Array(buffer), bytes: buffer.byteLength, index }
      this.windows.set(index, window)
    }
    return window
  }

  /** The window in which all of these words stand, which native code has read; undefined if they do not stand in one. */
  of(words: readonly number[]): Window | undefined {
    const index = Math.floor(words[0] / WINDOW)
    let last = 0
    // by index: it must not depend on how a program lets arrays be iterated
    for (let i = 0; i < words.length; i++) {
      if (Math.floor(words[i] / WINDOW) !== index) return undefined
      last = Math.max(last, words[i] % WINDOW)
    }
    return this.upTo(words[0], last - (last % SLAB) + SLAB)
  }

  /**
   * True if what ends here lies in allocated memory: reading beyond could be the end of the process. The header's own
   * word is not believed: the native side asks the system.
   */
  holds(end: number): boolean {
    return end <= this.committed || end <= (this.committed = this.port.committed())
  }

  /**
   * The window of a block that shared memory names, or undefined if the block does not lie in it whole, or not in
   * allocated memory.
   */
  block(at: number, bytes: number): Window | undefined {
    if (at % 16 !== 0 || !this.holds(at + bytes)) return undefined
    const end = (at % WINDOW) + bytes
    return end <= WINDOW ? this.upTo(at, end) : undefined
  }
}

/** The place of an offset in its window, in words of 4 bytes. */
export function wordIn(at: number): number {
  // `| 0`: a small integer, not a double that happens to be whole: 10 ns at each read
  return ((at % WINDOW) / 4) | 0
}
