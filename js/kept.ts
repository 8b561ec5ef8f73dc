/**
 * Frozen values that have been read lately: one that stands in the heap at a place, in a version, is read once.
 */

/** Values are kept up to so many bytes of content. */
const MOST_KEPT = 8 << 20

/** See the head of this file. */
export class Kept {
  /** By their place, those that came first at the front. */
  private readonly entries = new Map<number, { version: number; bytes: number; value: object }>()
  private bytes = 0

  /** The value that stands at this place since this version, if it is kept. */
  find(at: number, version: number): object | undefined {
    const entry = this.entries.get(at)
    return entry?.version === version ? entry.value : undefined
  }

  keep(at: number, version: number, bytes: number, value: object): void {
    if (bytes > MOST_KEPT / 8) return
    const old = this.entries.get(at)
    if (old !== undefined) this.bytes -= old.bytes
    this.entries.delete(at)
    this.entries.set(at, { version, bytes, value })
    this.bytes += bytes
    // a look at the first one steps over all that have been deleted before it
    if (this.bytes <= MOST_KEPT) return
    for (const [oldest, entry] of this.entries) {
      if (this.bytes <= MOST_KEPT / 2) break
      this.entries.delete(oldest)
      this.bytes -= entry.bytes
    }
  }

  clear(): void {
    this.entries.clear()
    this.bytes = 0
  }
}
