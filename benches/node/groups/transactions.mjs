// Transfers between two of 1,000 accounts, and one counter that all want, each as a transaction.
import { atLeast, timesRow, workers } from '../rows.mjs'
import { MONEY, OBJECTS, PASS, order, random, timed, timedAsync, wrong } from '../work.mjs'

export const title = 'transactions'
const ONE = 'hot counter, 1 process'
export const rows = [
  { name: 'transfer, 1 process', roles: workers(1), unit: 'M/s', bar: atLeast(1.5e6) },
  { name: 'transfer, 2 processes', roles: workers(2), unit: 'M/s', bar: atLeast(2e6) },
  { name: ONE, roles: workers(1), unit: 'M/s', bar: atLeast(2e6) },
  { name: 'hot counter, 2 processes', roles: workers(2), unit: 'M/s', bar: timesRow(0.5, ONE, 'half of 1 process') },
  { name: 'hot counter, 4 processes', roles: workers(4), unit: 'M/s', bar: timesRow(0.5, ONE, 'half of 1 process') },
]

const isTransfer = (row) => row.name.startsWith('transfer')

/** `transfer(store)` gives (from, to) => …, `count(store)` gives () => …, each one transaction. */
function cases(transfer, count) {
  const transfers = (store, { id, seconds }) => {
    const move = transfer(store)
    const froms = order(OBJECTS, 2 * id + 1)
    const others = order(OBJECTS - 1, 2 * id + 2)
    return () =>
      timed(seconds, PASS, () => {
        for (let k = 0; k < PASS; k++) move(froms[k], (froms[k] + 1 + others[k]) % OBJECTS)
      })
  }
  const counts = (store, { seconds }) => {
    const add = count(store)
    return () => {
      let done = 0
      const result = timed(seconds, 100, () => {
        for (let k = 0; k < 100; k++) add()
        done += 100
      })
      // with those before the clock ran: the counter has to show them all
      return { ...result, done }
    }
  }
  return named(transfers, counts)
}

const named = (transfers, counts) => Object.fromEntries(rows.map((row) => [row.name, isTransfer(row) ? transfers : counts]))

/** What has to hold at the end. */
const check = (sum, counter) => async (store, row, results) => {
  if (isTransfer(row)) {
    const total = await sum(store)
    if (total !== MONEY) throw wrong(`the sum is ${total}, not ${MONEY}`)
    return
  }
  const done = results.reduce((all, { done }) => all + done, 0)
  const count = await counter(store)
  if (count !== done) throw wrong(`the counter is ${count} after ${done} additions`)
}

const accounts = Array.from({ length: OBJECTS }, (_, i) => i)

export const entries = {
  async coheap() {
    return {
      fill({ root }) {
        root.accounts = accounts.map(() => ({ balance: MONEY / OBJECTS }))
        root.counter = { n: 0 }
      },
      cases: cases(
        (heap) => {
          const list = [...heap.root.accounts]
          return (from, to) =>
            heap.transaction(() => {
              list[from].balance -= 1
              list[to].balance += 1
            })
        },
        (heap) => {
          const { counter } = heap.root
          return () => heap.transaction(() => counter.n++)
        },
      ),
      check: check(
        (heap) => heap.transaction(() => heap.root.accounts.reduce((sum, x) => sum + x.balance, 0)),
        (heap) => heap.root.counter.n,
      ),
    }
  },

  async ems() {
    const { array } = await import('../peers/ems.mjs')
    // the counter is one more element
    const open = (store, create) => array(store, 'accounts', { dimensions: [OBJECTS + 1] }, create)
    const change = (store, all, elements, change) => {
      const tm = store.ems.tmStart(elements.map((i) => [all, i]))
      change()
      store.ems.tmEnd(tm, true)
    }
    return {
      fill(store) {
        const all = open(store, true)
        for (const i of accounts) all.write(i, MONEY / OBJECTS)
        all.write(OBJECTS, 0)
      },
      cases: cases(
        (store) => {
          const all = open(store)
          return (from, to) =>
            change(store, all, [from, to], () => {
              all.write(from, all.read(from) - 1)
              all.write(to, all.read(to) + 1)
            })
        },
        (store) => {
          const all = open(store)
          return () => change(store, all, [OBJECTS], () => all.write(OBJECTS, all.read(OBJECTS) + 1))
        },
      ),
      check: check(
        (store) => {
          const all = open(store)
          return accounts.reduce((sum, i) => sum + all.read(i), 0)
        },
        (store) => open(store).read(OBJECTS),
      ),
    }
  },

  async lmdb() {
    return {
      fill: ({ db }) =>
        db.transactionSync(() => {
          for (const i of accounts) db.put(i, { value: MONEY / OBJECTS })
          db.put(OBJECTS, { value: 0 })
        }),
      cases: cases(
        ({ db }) => (from, to) =>
          db.transactionSync(() => {
            db.put(from, { value: db.get(from).value - 1 })
            db.put(to, { value: db.get(to).value + 1 })
          }),
        ({ db }) => () =>
          db.transactionSync(() => {
            // a promise that is given back would be waited for
            db.put(OBJECTS, { value: db.get(OBJECTS).value + 1 })
          }),
      ),
      check: check(
        ({ db }) => accounts.reduce((sum, i) => sum + db.get(i).value, 0),
        ({ db }) => db.get(OBJECTS).value,
      ),
    }
  },

  async sqlite() {
    const { fill } = await import('../peers/sqlite.mjs')
    return {
      fill: (store) => fill(store, [...accounts.map((i) => [i, MONEY / OBJECTS]), [OBJECTS, 0]]),
      cases: cases(
        ({ db, add }) => {
          const move = db.transaction((from, to) => {
            add.run(-1, from)
            add.run(1, to)
          })
          return (from, to) => move.immediate(from, to)
        },
        // a statement is a transaction
        ({ add }) => () => add.run(1, OBJECTS),
      ),
      check: check(
        ({ get }) => accounts.reduce((sum, i) => sum + get.get(i), 0),
        ({ get }) => get.get(OBJECTS),
      ),
    }
  },

  async redis() {
    return {
      fill: ({ client }) => client.mset(...accounts.flatMap((i) => [i, MONEY / OBJECTS]), OBJECTS, 0),
      cases: named(
        ({ client }, { id, seconds }) => {
          const pick = random(id + 1)
          return () =>
            timedAsync(seconds, () => {
              const from = pick(OBJECTS)
              return client.multi().decr(from).incr((from + 1 + pick(OBJECTS - 1)) % OBJECTS).exec()
            })
        },
        ({ client }, { seconds }) => async () => {
          let done = 0
          const result = await timedAsync(seconds, () => {
            done++
            return client.incr(OBJECTS)
          })
          return { ...result, done }
        },
      ),
      check: check(
        async ({ client }) => (await client.mget(...accounts)).reduce((sum, x) => sum + Number(x), 0),
        async ({ client }) => Number(await client.get(OBJECTS)),
      ),
    }
  },
}
