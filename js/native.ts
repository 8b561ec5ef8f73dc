/**
 * Finds the native module: the loader that `napi build` writes, or the module itself beside it.
 */
import { createRequire } from 'node:module'
import { fail } from './errors.js'
import type { Native } from './port.js'

let loaded: Native | undefined

/**
 * The native module, loaded at first use.
 * @throws ERR_COHEAP_NATIVE_NOT_FOUND
 */
export function native(): Native {
  if (loaded === undefined) {
    try {
      loaded = createRequire(import.meta.url)('../js/native.cjs') as Native
    } catch (cause) {
      throw fail(
        'ERR_COHEAP_NATIVE_NOT_FOUND',
        `the native module for ${process.platform}-${process.arch} cannot be loaded: build it with npm run build:native`,
        { cause },
      )
    }
    const module = loaded
    // clean-up hooks do not run at process.exit(): the last one out removes the heap here
    process.once('exit', () => module.leaveAll())
  }
  return loaded
}
