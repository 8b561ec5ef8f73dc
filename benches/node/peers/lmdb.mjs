import { mkdtempSync, rmSync } from 'node:fs'
import { join as path } from 'node:path'
import { open } from 'lmdb'

export const about = 'lmdb: a memory-mapped database; no fsync: a cache that need not outlive the machine, as the others here'
export const connect = (dir) => ({ dir, db: open({ path: path(dir, 'db'), noSync: true, mapSize: 2 ** 31 }) })
export const make = () => connect(mkdtempSync('/dev/shm/bench-lmdb-'))
export const shared = (store) => store.dir
export const join = connect
export const leave = (store) => store.db.close()
export const unmake = async (store) => {
  await store.db.close()
  rmSync(store.dir, { recursive: true, force: true })
}
