import { mkdtempSync, rmSync } from 'node:fs'
import { join as path } from 'node:path'
import Database from 'better-sqlite3'

export const about = 'better-sqlite3: a database in /dev/shm, write-ahead log, no fsync'
export const connect = (dir) => {
  const db = new Database(path(dir, 'db'), { timeout: 60_000 })
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = OFF')
  db.exec('CREATE TABLE IF NOT EXISTS entries (key PRIMARY KEY, value) WITHOUT ROWID')
  return {
    dir,
    db,
    get: db.prepare('SELECT value FROM entries WHERE key = ?').pluck(),
    set: db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?)'),
    add: db.prepare('UPDATE entries SET value = value + ? WHERE key = ?'),
  }
}
export const make = () => connect(mkdtempSync('/dev/shm/bench-sqlite-'))
export const shared = (store) => store.dir
export const join = connect
export const leave = (store) => store.db.close()
export const unmake = (store) => {
  store.db.close()
  rmSync(store.dir, { recursive: true, force: true })
}
/** Fills the table: pairs of a key and a value. */
export const fill = (store, pairs) =>
  store.db.transaction(() => {
    for (const [key, value] of pairs) store.set.run(key, value)
  })()
