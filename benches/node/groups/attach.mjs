// A new process gets at 100,000 objects: until it has read the first and the last of them.
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { atMost, workers } from '../rows.mjs'
import { wrong } from '../work.mjs'

export const title = 'attach'
const ATTACH = 'attach a heap of 100,000 objects'
export const rows = [{ name: ATTACH, roles: workers(1), unit: 'ms', bar: atMost(2e-3, 'ms') }]

const COUNT = 100_000
const object = (i) => ({ id: i, name: `object ${i}`, value: i / 2 })
export const all = () => Array.from({ length: COUNT }, (_, i) => object(i))
const check = (one, i) => {
  if (one.id !== i || one.name !== `object ${i}` || one.value !== i / 2) throw wrong(`object ${i}`)
}

/** Times `open(shared)`, which gives a function of an index. Everything is loaded, and nothing has been called. */
const timedOnce = (open) => (store) => async () => {
  const start = performance.now()
  const at = await open(store)
  check(await at(0), 0)
  check(await at(COUNT - 1), COUNT - 1)
  return { ops: 1, seconds: (performance.now() - start) / 1000 }
}

export const entries = {
  async coheap() {
    const { Heap } = await import('coheap')
    // loads the native module, as importing the others does
    Heap.list()
    return {
      lazily: true,
      fill: ({ root }) => void (root.list = all()),
      cases: {
        [ATTACH]: timedOnce((name) => {
          const { list } = Heap.open(name).root
          return (i) => list[i]
        }),
      },
    }
  },
  async lmdb() {
    const { connect } = await import('../peers/lmdb.mjs')
    return {
      lazily: true,
      fill: ({ db }) =>
        db.transactionSync(() => {
          for (let i = 0; i < COUNT; i++) db.put(i, object(i))
        }),
      cases: {
        [ATTACH]: timedOnce((dir) => {
          const { db } = connect(dir)
          return (i) => db.get(i)
        }),
      },
    }
  },
  async sqlite() {
    const { connect, fill } = await import('../peers/sqlite.mjs')
    return {
      lazily: true,
      fill: (store) => fill(store, all().map((one) => [one.id, JSON.stringify(one)])),
      cases: {
        [ATTACH]: timedOnce((dir) => {
          const { get } = connect(dir)
          return (i) => JSON.parse(get.get(i))
        }),
      },
    }
  },
  async redis() {
    const { connect } = await import('../peers/redis.mjs')
    return {
      lazily: true,
      async fill({ client }) {
        for (let i = 0; i < COUNT; i += 1000) {
          await client.mset(...Array.from({ length: 1000 }, (_, k) => [i + k, JSON.stringify(object(i + k))]).flat())
        }
      },
      cases: {
        [ATTACH]: timedOnce((dir) => {
          const { client } = connect(dir)
          return async (i) => JSON.parse(await client.get(i))
        }),
      },
    }
  },
  async ems() {
    const { array, open } = await import('../peers/ems.mjs')
    const list = (store, create) => array(store, 'list', { dimensions: [COUNT], heapSize: 64 << 20 }, create)
    return {
      lazily: true,
      fill(store) {
        const objects = list(store, true)
        for (let i = 0; i < COUNT; i++) objects.write(i, object(i))
      },
      cases: {
        [ATTACH]: timedOnce((dir) => {
          const objects = list(open(dir))
          return (i) => objects.read(i)
        }),
      },
    }
  },
  async ipc() {
    const { fork } = await import('node:child_process')
    return {
      cases: {
        // the other process is there already, and is asked for them
        [ATTACH]: async () => {
          const child = fork(fileURLToPath(new URL('../echo.mjs', import.meta.url)), ['objects'], { serialization: 'advanced' })
          await once(child, 'message')
          return timedOnce(async () => {
            child.send('all')
            const [list] = await once(child, 'message')
            child.disconnect()
            return (i) => list[i]
          })()
        },
      },
    }
  },
}
