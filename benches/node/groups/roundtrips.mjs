// There and back: one number to another process, which sends it back. Spinning: both look all the time. Sleeping: the other
// side has had nothing to do for a millisecond, as it is with most messages. Await: through both event loops.
// Which core a process runs on makes a difference that comes and goes, so each is measured free and pinned to a core each.
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { atMost, times } from '../rows.mjs'
import { wrong } from '../work.mjs'

export const title = 'round trips'
const roles = ['asker', 'answerer']
const both = (name, rest) => [
  { name, roles, unit: 'µs', ...rest },
  { name: `${name}, pinned`, roles, unit: 'µs', pinned: true, ...rest },
]
export const rows = [
  ...both('round trip, spinning', { bar: atMost(1e-6, 'µs') }),
  ...both('round trip, sleeping', { bar: times(1 / 1.5, 'pipe', '≤ 1.5 × pipe') }),
  ...both('round trip, await', {}),
]

const SPINNING = ['round trip, spinning', 'round trip, spinning, pinned']
const SLEEPING = ['round trip, sleeping', 'round trip, sleeping, pinned']
const AWAIT = ['round trip, await', 'round trip, await, pinned']
/** Not for threads: only processes are pinned. */
const FREE = { SPINNING: SPINNING.slice(0, 1), SLEEPING: SLEEPING.slice(0, 1), AWAIT: AWAIT.slice(0, 1) }

const clock = new Int32Array(new SharedArrayBuffer(4))
const pause = (ms) => Atomics.wait(clock, 0, 0, ms)

/** What the answerer ends with. */
const END = -1

/** How often: warm-up, then what counts. */
const often = (row, seconds) => {
  const n = Math.ceil((row.includes('sleeping') ? 600 : row.includes('spinning') ? 400_000 : 15_000) * Math.min(1, seconds))
  return { n, warm: Math.ceil(n / 3) }
}

/** The clock of an asker: `trip(i)` is one round trip, and gives what came back. */
function ask(row, seconds, trip) {
  const { n, warm } = often(row, seconds)
  const sleeping = row.includes('sleeping')
  let time = 0
  let begin = 0
  for (let i = 0; i < warm + n; i++) {
    if (sleeping) pause(1)
    if (sleeping || i === warm) begin = performance.now()
    const back = trip(i)
    if (back !== i) throw wrong(`${back} came back instead of ${i}`)
    if (sleeping && i >= warm) time += performance.now() - begin
  }
  if (!sleeping) time = performance.now() - begin
  return { ops: n, seconds: time / 1000 }
}

async function askAsync(row, seconds, trip) {
  const { n, warm } = often(row, seconds)
  let begin
  for (let i = 0; i < warm + n; i++) {
    if (i === warm) begin = performance.now()
    const back = await trip(i)
    if (back !== i) throw wrong(`${back} came back instead of ${i}`)
  }
  return { ops: n, seconds: (performance.now() - begin) / 1000 }
}

/** Asks by messages: `came` is to be told of each that comes, `ask` puts all questions by `send`. */
function byMessages() {
  let resolve
  const ask = (row, seconds, send) =>
    askAsync(row, seconds, (i) => {
      const back = new Promise((done) => (resolve = done))
      send(i)
      return back
    })
  return { came: (i) => resolve(i), ask }
}

/** What both sides do: `there` and `back` have send(i) and receive(), which gives a number. */
const pingPong = (row, role, seconds, there, back) =>
  role === 'asker'
    ? () => {
        const result = ask(row, seconds, (i) => {
          there.send(i)
          return back.receive()
        })
        there.send(END)
        return result
      }
    : () => {
        for (let i; (i = there.receive()) !== END; ) back.send(i)
        return { seconds: 0 }
      }

const cases = (names, open) => Object.fromEntries(names.map((row) => [row, (store, { role, seconds }) => pingPong(row, role, seconds, ...open(store))]))

/** Words of shared memory that one side writes and the other looks at; a cache line each. */
const words = (cells) =>
  [0, 16].map((place) => {
    let last = 0
    return {
      // what was there at the start is 0: a number goes as that plus 2
      send: (i) => Atomics.store(cells, place, i + 2),
      receive() {
        let x
        while ((x = Atomics.load(cells, place)) === last) continue
        last = x
        return x - 2
      },
    }
  })

/** The same, asleep between the threads of a process. */
const sleepingWords = (cells) =>
  [0, 16].map((place) => {
    let last = 0
    return {
      send(i) {
        Atomics.store(cells, place, i + 2)
        Atomics.notify(cells, place)
      },
      receive() {
        while (Atomics.load(cells, place) === last) Atomics.wait(cells, place, last)
        last = Atomics.load(cells, place)
        return last - 2
      },
    }
  })

export const entries = {
  async coheap() {
    const open = (heap) => ['there', 'back'].map((name) => heap.channel(name, { capacity: 64 }))
    return {
      cases: {
        ...cases(SPINNING, (heap) =>
          open(heap).map((c) => ({
            send: (i) => c.tryPut(i),
            receive() {
              let x
              while ((x = c.tryTake()) === undefined) continue
              return x
            },
          })),
        ),
        ...cases(SLEEPING, (heap) => open(heap).map((c) => ({ send: (i) => c.putSync(i), receive: () => c.takeSync() }))),
        ...Object.fromEntries(
          AWAIT.map((row) => [
            row,
            (heap, { role, seconds }) => {
              const [there, back] = open(heap)
              if (role === 'answerer') {
                return async () => {
                  for (let i; (i = await there.take()) !== END; ) await back.put(i)
                  return { seconds: 0 }
                }
              }
              return async () => {
                const result = await askAsync(row, seconds, async (i) => {
                  await there.put(i)
                  return back.take()
                })
                await there.put(END)
                return result
              }
            },
          ]),
        ),
      },
    }
  },

  async shm() {
    const { view } = await import('../peers/shm.mjs')
    return { cases: cases(SPINNING, (store) => words(view(store, Int32Array))) }
  },

  async pipe() {
    const { openSync, readSync, writeSync } = await import('node:fs')
    return {
      cases: cases(SLEEPING, (dir) =>
        ['there', 'back'].map((name) => {
          // for both: to open one side only would wait for the other
          const fd = openSync(`${dir}/${name}`, 'r+')
          const bytes = Buffer.alloc(4)
          return {
            send(i) {
              bytes.writeInt32LE(i)
              writeSync(fd, bytes)
            },
            receive() {
              if (readSync(fd, bytes) !== 4) throw wrong('a part of a number')
              return bytes.readInt32LE()
            },
          }
        }),
      ),
    }
  },

  async socket() {
    const { dial, listen } = await import('../peers/socket.mjs')
    return {
      cases: Object.fromEntries(
        AWAIT.map((row) => [
          row,
          async (dir, { role, seconds }) => {
            if (role === 'answerer') {
              const connection = await listen(dir)
              return async () => {
                const socket = await connection()
                socket.on('data', (line) => socket.write(line))
                await once(socket, 'close')
                return { seconds: 0 }
              }
            }
            return async () => {
              const socket = await dial(dir)
              const { came, ask } = byMessages()
              socket.setEncoding('utf8').on('data', (line) => came(Number(line)))
              const result = await ask(row, seconds, (i) => socket.write(`${i}\n`))
              socket.destroy()
              return result
            }
          },
        ]),
      ),
    }
  },

  async ipc() {
    const { fork } = await import('node:child_process')
    return {
      cases: Object.fromEntries(
        FREE.AWAIT.map((row) => [
          row,
          (_, { seconds }) =>
            async () => {
              const child = fork(fileURLToPath(new URL('../echo.mjs', import.meta.url)))
              const { came, ask } = byMessages()
              child.on('message', came)
              const result = await ask(row, seconds, (i) => child.send(i))
              child.disconnect()
              return result
            },
        ]),
      ),
    }
  },

  async port() {
    const { Worker } = await import('node:worker_threads')
    return {
      cases: Object.fromEntries(
        FREE.AWAIT.map((row) => [
          row,
          (_, { seconds }) =>
            async () => {
              const other = new Worker(new URL('../echo.mjs', import.meta.url))
              const { came, ask } = byMessages()
              other.on('message', came)
              const result = await ask(row, seconds, (i) => other.postMessage(i))
              await other.terminate()
              return result
            },
        ]),
      ),
    }
  },

  async sab() {
    const { Worker } = await import('node:worker_threads')
    const threads = (names, way) =>
      Object.fromEntries(
        names.map((row) => [
          row,
          (_, { seconds }) =>
            async () => {
              const cells = new Int32Array(new SharedArrayBuffer(256))
              const other = new Worker(new URL('../echo.mjs', import.meta.url), { workerData: { cells, way } })
              const result = pingPong(row, 'asker', seconds, ...open(way, cells))()
              await once(other, 'exit')
              return result
            },
        ]),
      )
    return { cases: { ...threads(FREE.SPINNING, 'spin'), ...threads(FREE.SLEEPING, 'sleep') } }
  },
}

const open = (way, cells) => (way === 'spin' ? words(cells) : sleepingWords(cells))
/** The other thread's half, over shared words. */
export const answerWords = (way, cells) => pingPong('', 'answerer', 0, ...open(way, cells))()
