import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join as path } from 'node:path'

const initialize = createRequire(import.meta.url)('ems')

export const about = 'ems: arrays and maps in a memory-mapped file, values as text'

/** An array or map of a store. */
export const array = (store, name, options, create = false) =>
  store.ems.new({
    filename: path(store.dir, name),
    useExisting: !create,
    ...(create ? { doSetFEtags: true, setFEtags: 'full' } : {}),
    ...options,
  })

export const open = (dir) => ({ dir, ems: initialize(1, false, 'user', `/bench-ems-${process.pid}`) })
let opened
export const make = () => (opened = { ...(opened ?? open()), dir: mkdtempSync('/dev/shm/bench-ems-') })
export const shared = (store) => store.dir
export const join = open
export const leave = () => rmSync(`/dev/shm/bench-ems-${process.pid}`, { force: true })
export const unmake = (store, pids) => {
  rmSync(store.dir, { recursive: true, force: true })
  // a process that was killed has not removed its own
  for (const pid of [process.pid, ...pids]) rmSync(`/dev/shm/bench-ems-${pid}`, { force: true })
}
