// Messages of 1 MiB. The pages of all peers have been touched before the clock runs, and are used again and again: the first touch
// of shared memory is several times slower than a copy, and no transport's doing.
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { pairs, times } from '../rows.mjs'
import { wrong } from '../work.mjs'

export const title = '1 MiB messages'
const POOLED = '1 MiB, one copy into shared bytes'
const SPUN = '1 MiB, one copy, both sides spinning'
const COPIED = '1 MiB, a local array is put'
const PLACED = '1 MiB, written in place and put'
export const rows = [
  { name: POOLED, roles: pairs(1), unit: 'GiB/s', bar: times(0.9, 'memcpy', '≥ 90 % of memcpy') },
  { name: SPUN, roles: pairs(1), unit: 'GiB/s', bar: times(0.9, 'memcpy', '≥ 90 % of memcpy') },
  { name: COPIED, roles: pairs(1), unit: 'GiB/s' },
  { name: PLACED, roles: pairs(1), unit: 'GiB/s', bar: times(1, 'memcpy', 'no cost: more than memcpy') },
]

const SIZE = 2 ** 20
/** Buffers that go round. */
const POOL = 8
const howMany = (rate, seconds) => Math.max(100, Math.ceil(rate * Math.max(0.3, seconds)))

/** What message i holds at one of its 8-byte words; all others are as the source has them. */
const PLACES = [0, 65_537, SIZE / 8 - 1]
const source = () => Float64Array.from({ length: SIZE / 8 }, (_, i) => i)
const stamp = (words, i) => {
  for (const place of PLACES) words[place] = i + place
}
function checkStamp(words, i) {
  if (words.length !== SIZE / 8) throw wrong(`${words.length} words`)
  for (const place of PLACES) if (words[place] !== i + place) throw wrong(`message ${i} is ${words[place]} at ${place}`)
  // and one that nobody stamps, another one each time
  const other = 1 + ((i * 7919) % 65_000)
  if (words[other] !== other) throw wrong(`message ${i} is ${words[other]} at ${other}`)
}

/** Times arrivals; the first tenth does not count. */
class Clock {
  constructor(count) {
    this.count = count
    this.first = Math.floor(count / 10)
    this.got = 0
  }
  add(words) {
    checkStamp(words, this.got)
    if (this.got++ === this.first) this.start = performance.now()
    return this.got === this.count
  }
  result() {
    return { ops: (this.count - this.first - 1) * SIZE, seconds: (performance.now() - this.start) / 1000 }
  }
}
const sent = () => ({ seconds: 0 })
const wordsOf = (bytes) => new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8)
/** Bytes that may begin anywhere, as words. */
const alignedWords = (bytes) => (bytes.byteOffset % 8 === 0 ? wordsOf(bytes) : new Float64Array(Uint8Array.from(bytes).buffer))

export const entries = {
  async coheap() {
    // a pool goes round: empty arrays back to the producer, full ones to the consumer; nothing but references moves
    const waiting = { put: (c, m) => c.putSync(m), take: (c) => c.takeSync() }
    const spinning = {
      put: (c, m) => c.tryPut(m),
      take(c) {
        let m
        while ((m = c.tryTake()) === undefined) continue
        return m
      },
    }
    const pooled = (write, each, { put, take }) => (heap, { role, seconds }) => {
      const count = howMany(each, seconds)
      const full = heap.channel('full', { capacity: 64 })
      const empty = heap.channel('empty', { capacity: 64 })
      if (role === 'producer') {
        const from = source()
        return () => {
          for (let i = 0; i < count; i++) {
            const words = take(empty)
            write(words, from, i)
            put(full, words)
          }
          return sent()
        }
      }
      return () => {
        const clock = new Clock(count)
        for (let done = false; !done; ) {
          const words = take(full)
          done = clock.add(words)
          put(empty, words)
        }
        return clock.result()
      }
    }
    const copy = (words, from, i) => {
      stamp(from, i)
      words.set(from)
    }
    return {
      options: { size: '64MiB', maxSize: '8GiB' },
      fill(heap) {
        const empty = heap.channel('empty', { capacity: 64 })
        for (let i = 0; i < POOL; i++) {
          const words = heap.alloc(Float64Array, SIZE / 8)
          words.set(source())
          empty.tryPut(words)
        }
      },
      cases: {
        [POOLED]: pooled(copy, 8000, waiting),
        [SPUN]: pooled(copy, 8000, spinning),
        [PLACED]: pooled((words, from, i) => stamp(words, i), 200_000, waiting),
        [COPIED](heap, { role, seconds }) {
          const count = howMany(1500, seconds)
          const channel = heap.channel('copied', { capacity: POOL })
          if (role === 'producer') {
            const from = source()
            return () => {
              for (let i = 0; i < count; i++) {
                stamp(from, i)
                channel.putSync(from)
              }
              return sent()
            }
          }
          return () => {
            const clock = new Clock(count)
            let last
            for (let done = false; !done; ) {
              const words = channel.takeSync()
              done = clock.add(words)
              // the one before: what is put is live for the producer too, until it puts the next
              if (last !== undefined) {
                const { buffer } = last
                heap.destroy(last)
                heap.destroy(buffer)
              }
              last = words
            }
            return clock.result()
          }
        },
      },
    }
  },

  async shm() {
    const { view } = await import('../peers/shm.mjs')
    // POOL buffers and a word for each: 0 empty, 1 full; both sides look at it all the time
    const FLAGS = POOL * SIZE
    return {
      options: { bytes: FLAGS + 4096 },
      fill: (store) => view(store, Float64Array).fill(0),
      cases: {
        [SPUN](store, { role, seconds }) {
          const count = howMany(8000, seconds)
          const flags = view(store, Int32Array).subarray(FLAGS / 4)
          const all = Array.from({ length: POOL }, (_, k) => view(store, Float64Array).subarray((k * SIZE) / 8, ((k + 1) * SIZE) / 8))
          if (role === 'producer') {
            const from = source()
            return () => {
              for (let i = 0; i < count; i++) {
                const k = i % POOL
                while (Atomics.load(flags, 16 * k) !== 0) continue
                stamp(from, i)
                all[k].set(from)
                Atomics.store(flags, 16 * k, 1)
              }
              return sent()
            }
          }
          return () => {
            const clock = new Clock(count)
            for (let i = 0, done = false; !done; i++) {
              const k = i % POOL
              while (Atomics.load(flags, 16 * k) !== 1) continue
              done = clock.add(all[k])
              Atomics.store(flags, 16 * k, 0)
            }
            return clock.result()
          }
        },
      },
    }
  },

  async memcpy() {
    return {
      cases: Object.fromEntries(
        [POOLED, SPUN, PLACED].map((row) => [
          row,
          (_, { seconds }) => {
            const count = howMany(8000, seconds)
            const from = source()
            const all = Array.from({ length: POOL }, () => source())
            return () => {
              const clock = new Clock(count)
              for (let i = 0, done = false; !done; i++) {
                stamp(from, i)
                all[i % POOL].set(from)
                done = clock.add(all[i % POOL])
              }
              return clock.result()
            }
          },
        ]),
      ),
    }
  },

  async zeromq() {
    const { address, zmq } = await import('../peers/zeromq.mjs')
    return {
      cases: {
        async [COPIED](dir, { role, seconds }) {
          const count = howMany(1000, seconds)
          if (role === 'consumer') {
            const pull = new zmq.Pull({ receiveHighWaterMark: POOL })
            await pull.bind(address(dir))
            return async () => {
              const clock = new Clock(count)
              for (let done = false; !done; ) done = clock.add(alignedWords((await pull.receive())[0]))
              pull.close()
              return clock.result()
            }
          }
          const push = new zmq.Push({ sendHighWaterMark: POOL })
          const from = source()
          return async () => {
            push.connect(address(dir))
            for (let i = 0; i < count; i++) {
              stamp(from, i)
              // it does not copy: what was sent must not be changed
              await push.send(from.slice())
            }
            return sent()
          }
        },
      },
    }
  },

  async socket() {
    const { dial, listen } = await import('../peers/socket.mjs')
    return {
      cases: {
        async [COPIED](dir, { role, seconds }) {
          const count = howMany(1000, seconds)
          if (role === 'consumer') {
            const connection = await listen(dir)
            return async () => {
              const socket = await connection()
              const clock = new Clock(count)
              const message = Buffer.from(new ArrayBuffer(SIZE))
              let have = 0
              for await (const chunk of socket) {
                for (let at = 0; at < chunk.length; ) {
                  const n = chunk.copy(message, have, at)
                  at += n
                  have += n
                  if (have < SIZE) continue
                  clock.add(wordsOf(message))
                  have = 0
                }
              }
              return clock.result()
            }
          }
          const from = source()
          return async () => {
            const socket = await dial(dir)
            for (let i = 0; i < count; i++) {
              stamp(from, i)
              if (!socket.write(Buffer.from(from.slice().buffer))) await once(socket, 'drain')
            }
            socket.end()
            await once(socket, 'close')
            return sent()
          }
        },
      },
    }
  },

  async ipc() {
    const { fork } = await import('node:child_process')
    return {
      cases: {
        [COPIED]: (_, { seconds }) => () => {
          const count = howMany(300, seconds)
          const child = fork(fileURLToPath(new URL('../other-half.mjs', import.meta.url)), ['ipc', COPIED, String(count)], { serialization: 'advanced' })
          const clock = new Clock(count)
          return new Promise((resolve, reject) => {
            child.on('message', (m) => {
              try {
                if (clock.add(m)) resolve(clock.result())
              } catch (error) {
                reject(error)
              }
            })
            child.on('error', reject)
          })
        },
      },
    }
  },

  async port() {
    const { Worker } = await import('node:worker_threads')
    return {
      cases: {
        [COPIED]: (_, { seconds }) => () => {
          const count = howMany(1000, seconds)
          const other = new Worker(new URL('../other-half.mjs', import.meta.url), { argv: ['port', COPIED, String(count)] })
          const clock = new Clock(count)
          return new Promise((resolve, reject) => {
            other.on('message', (m) => {
              try {
                if (clock.add(m)) resolve(clock.result())
                if (clock.got % POOL === 0) other.postMessage('go on')
              } catch (error) {
                reject(error)
              }
            })
            other.on('error', reject)
          })
        },
      },
    }
  },
}

/** Sends all messages: the other half of who has started a process or a thread by itself. */
export async function sendBytes(count, send) {
  const from = source()
  for (let i = 0; i < count; i++) {
    stamp(from, i)
    const wait = send(from, i + 1, i + 1 === count)
    if (wait !== undefined) await wait
  }
}
