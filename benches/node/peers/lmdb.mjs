import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'
import { KEYS, MONEY, OBJECTS, random, timed } from '../cases.mjs'

let db
// no fsync: a cache that need not outlive the machine, as the others here
const connect = (dir) => (db = open({ path: join(dir, 'db'), noSync: true, mapSize: 256 << 20 }))

const transfer = ({ id, seconds, shared }) => {
  connect(shared)
  const pick = random(id + 1)
  return () =>
    timed(seconds, () => {
      const from = pick(OBJECTS)
      const to = (from + 1 + pick(OBJECTS - 1)) % OBJECTS
      db.transactionSync(() => {
        db.put(from, { value: db.get(from).value - 1 })
        db.put(to, { value: db.get(to).value + 1 })
      })
    })
}

export default {
  setup() {
    const dir = mkdtempSync('/dev/shm/bench-lmdb-')
    connect(dir).transactionSync(() => {
      for (let i = 0; i < OBJECTS; i++) db.put(i, { value: MONEY / OBJECTS })
      KEYS.forEach((key, i) => db.put(key, i))
    })
    return dir
  },
  check(test) {
    if (!test.name.startsWith('transfer')) return
    let sum = 0
    for (let i = 0; i < OBJECTS; i++) sum += db.get(i).value
    if (sum !== MONEY) throw new Error(`the sum is ${sum}`)
  },
  teardown: async (dir) => {
    await db.close()
    rmSync(dir, { recursive: true, force: true })
  },
  leave: () => db.close(),
  cases: {
    'property read': ({ seconds, shared }) => {
      connect(shared)
      const pick = random(1)
      let sum = 0
      return () => {
        const result = timed(seconds, () => (sum += db.get(pick(OBJECTS)).value))
        if (!(sum > 0)) throw new Error('nothing was read')
        return result
      }
    },
    'property write': ({ seconds, shared }) => {
      connect(shared)
      const pick = random(1)
      return () => timed(seconds, (i) => db.putSync(pick(OBJECTS), { value: i }))
    },
    'map get': ({ seconds, shared }) => {
      connect(shared)
      const pick = random(1)
      return () =>
        timed(seconds, () => {
          const i = pick(KEYS.length)
          if (db.get(KEYS[i]) !== i) throw new Error(`wrong value for ${KEYS[i]}`)
        })
    },
    'map set': ({ seconds, shared }) => {
      connect(shared)
      const pick = random(1)
      return () => timed(seconds, (i) => db.putSync(KEYS[pick(KEYS.length)], i))
    },
    'transfer, 1 process': transfer,
    'transfer, 2 processes': transfer,
  },
}
