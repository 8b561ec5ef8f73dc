/**
 * Finds the native module: beside the sources where it was built, else in the package of this platform.
 */
import { createRequire } from 'node:module'
import { fail } from './errors.js'
import type { Native } from './port.js'

let loaded: Native | undefined

/** The endings of the names under which `napi build` puts a module for this platform, the likeliest first. */
function platforms(): string[] {
  const { platform, arch } = process
  switch (platform) {
    case 'linux':
      // a module for the other C library does not load, and the next is tried
      return [`linux-${arch}-gnu`, `linux-${arch}-musl`]
    case 'win32':
      return [`win32-${arch}-msvc`]
    default:
      return [`${platform}-${arch}`]
  }
}

function load(): Native {
  const require = createRequire(import.meta.url)
  const failures: unknown[] = []
  for (const platform of platforms()) {
    for (const path of [`../js/coheap.${platform}.node`, `coheap-${platform}`]) {
      try {
        return require(path) as Native
      } catch (error) {
        failures.push(error)
      }
    }
  }
  throw fail(
    'ERR_COHEAP_NATIVE_NOT_FOUND',
    `the native module for ${process.platform}-${process.arch} cannot be loaded: build it with npm run build:native`,
    { cause: new AggregateError(failures, 'every place where the native module could be') },
  )
}

/**
 * The native module, loaded at first use.
 * @throws ERR_COHEAP_NATIVE_NOT_FOUND
 */
export function native(): Native {
  if (loaded === undefined) {
    const module = (loaded = load())
    // clean-up hooks do not run at process.exit(): the last one out removes the heap here
    process.once('exit', () => module.leaveAll())
  }
  return loaded
}
