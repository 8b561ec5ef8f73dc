// Messages from one process to another, and from four to four: numbers and small objects, one by one and in batches of 100.
import { fileURLToPath } from 'node:url'
import { atLeast, pairs, timesRow } from '../rows.mjs'
import { wrong } from '../work.mjs'

export const title = 'messages'
const asOne = (what) => timesRow(1, `${what} 1 → 1`, 'as 1 → 1')
export const rows = [
  { name: 'numbers 1 → 1', roles: pairs(1), unit: 'M/s', bar: atLeast(10e6) },
  { name: 'numbers 1 → 1, batches', roles: pairs(1), unit: 'M/s', bar: atLeast(10e6) },
  { name: 'objects 1 → 1', roles: pairs(1), unit: 'M/s', bar: atLeast(3e6) },
  { name: 'objects 1 → 1, batches', roles: pairs(1), unit: 'M/s', bar: atLeast(10e6) },
  { name: 'numbers 4 → 4', roles: pairs(4), unit: 'M/s', bar: asOne('numbers') },
  { name: 'objects 4 → 4', roles: pairs(4), unit: 'M/s', bar: asOne('objects') },
]

export const BATCH = 100
/** What a row sends. */
const kind = (row) => ({ objects: row.startsWith('objects'), batch: row.endsWith('batches') ? BATCH : 1, many: row.includes('4 → 4') })
const object = (id) => ({ id, name: 'a small object', value: id / 2 })
const idOf = (m) => (typeof m === 'number' ? m : m.id)
const valid = (m) => typeof m === 'number' || (m.value === m.id / 2 && m.name === 'a small object')

/** The next batch. (`Array.from` with a function would cost more than to send it.) */
function filled(make, from) {
  const list = []
  for (let k = 0; k < BATCH; k++) list.push(make(from + k))
  return list
}

/**
 * Messages of one producer in a run of about so many seconds, for a peer that sends about so many a second; whole batches.
 */
const howMany = (rate, seconds) => BATCH * Math.max(100, Math.ceil((rate * Math.max(0.3, seconds)) / BATCH))

/**
 * Counts what arrives at one consumer. The ids of each producer must come in order, and without a gap where there is one consumer
 * only. The clock starts when a tenth has come: the engine has compiled by then.
 */
class Arrivals {
  constructor(count, many) {
    this.count = count
    this.first = Math.floor(count / 10)
    this.got = 0
    this.sum = 0
    this.many = many
    // ids of one producer are those with the same remainder
    this.last = [-1, -1, -1, -1]
  }
  /** True when it was the last one. */
  add(m) {
    const id = idOf(m)
    if (this.many) {
      const producer = id % 4
      if (id <= this.last[producer]) throw wrong(`message ${id} came after ${this.last[producer]}`)
      this.last[producer] = id
    } else if (id !== this.got) throw wrong(`message ${id} came where ${this.got} was due`)
    if (!valid(m)) throw wrong(JSON.stringify(m))
    this.sum += id
    if (this.got++ === this.first) this.start = performance.now()
    return this.got === this.count
  }
  result() {
    return { ops: this.count - this.first - 1, seconds: (performance.now() - this.start) / 1000, sum: this.sum, got: this.got }
  }
}

/** The message with number i of producer p. */
const maker = ({ objects, many }, p) => {
  const id = many ? (i) => 4 * i + p : (i) => i
  return objects ? (i) => object(id(i)) : id
}

/** Nothing is lost, nothing comes twice: the sum of all ids. */
function check(store, { name, roles }, results) {
  const { many } = kind(name)
  const count = results.reduce((n, { got = 0 }) => n + got, 0)
  const sum = results.reduce((all, { sum = 0 }) => all + sum, 0)
  const producers = many ? roles.length / 2 : 1
  if (count % producers !== 0 || sum !== (count * (count - 1)) / 2) throw wrong(`${count} messages with the sum ${sum}`)
}

/** What a producer gives when it has put all. */
const sent = () => ({ seconds: 0 })

/** Cases of one peer, those of these rows that it can do. */
const only = (names, make) => Object.fromEntries(names.map((name) => [name, make(kind(name))]))
const all = rows.map((row) => row.name)
const singles = all.filter((name) => !name.endsWith('batches'))
const oneToOne = all.filter((name) => name.includes('1 → 1'))

export const entries = {
  async coheap() {
    return {
      check,
      options: { size: '256MiB' },
      cases: only(all, (of) => (heap, { role, id, seconds }) => {
        const count = howMany(of.many ? 500_000 : of.objects ? 2_000_000 : 5_000_000, seconds)
        const channel = heap.channel('messages', { capacity: 4096 })
        const plain = maker(of, id)
        const make = of.objects ? (i) => Object.freeze(plain(i)) : plain
        if (role === 'consumer') {
          return async () => {
            const arrivals = new Arrivals(count, of.many)
            if (of.batch === 1) while (!arrivals.add(channel.takeSync())) continue
            else {
              for (let done = false; !done; ) {
                const list = channel.takeMany(BATCH)
                if (list.length === 0) list.push(await channel.take())
                for (const m of list) done = arrivals.add(m)
              }
            }
            return arrivals.result()
          }
        }
        return async () => {
          if (of.batch === 1) for (let i = 0; i < count; i++) channel.putSync(make(i))
          else for (let i = 0; i < count; i += BATCH) await channel.putMany(filled(make, i))
          return sent()
        }
      }),
    }
  },

  async ems() {
    const { array } = await import('../peers/ems.mjs')
    // its queue neither waits nor wraps around: room for every message
    const LENGTH = 2_000_000
    const queue = (store, create) => array(store, 'queue', { dimensions: [LENGTH + 1], heapSize: 512 << 20, doDataFill: create, dataFill: 0 }, create)
    return {
      check,
      fill: (store) => void queue(store, true),
      cases: only(singles, (of) => (store, { role, id, seconds }) => {
        const count = Math.min(howMany(of.many ? 100_000 : 400_000, seconds), LENGTH / (of.many ? 4 : 1))
        const q = queue(store)
        const make = maker(of, id)
        if (role === 'producer') {
          return () => {
            // as text: what it makes of an object by itself is now and then read before it is written
            for (let i = 0; i < count; i++) q.enqueue(of.objects ? JSON.stringify(make(i)) : make(i))
            return sent()
          }
        }
        return () => {
          const arrivals = new Arrivals(count, of.many)
          for (let done = false; !done; ) {
            const m = q.dequeue()
            if (m !== undefined) done = arrivals.add(of.objects ? JSON.parse(m) : m)
          }
          return arrivals.result()
        }
      }),
    }
  },

  async socket() {
    const { dial, listen } = await import('../peers/socket.mjs')
    const { once } = await import('node:events')
    return {
      check,
      cases: only(oneToOne, (of) => async (dir, { role, seconds }) => {
        const count = howMany(of.batch === 1 ? 500_000 : 1_500_000, seconds)
        if (role === 'consumer') {
          const connection = await listen(dir)
          return async () => {
            const socket = await connection()
            const arrivals = new Arrivals(count, false)
            let rest = ''
            socket.setEncoding('utf8')
            for await (const chunk of socket) {
              const lines = (rest + chunk).split('\n')
              rest = lines.pop()
              for (const line of lines) {
                const m = JSON.parse(line)
                if (of.batch === 1) arrivals.add(m)
                else for (const one of m) arrivals.add(one)
              }
            }
            if (arrivals.got !== count) throw wrong(`${arrivals.got} messages`)
            return arrivals.result()
          }
        }
        return async () => {
          const socket = await dial(dir)
          const make = maker(of, 0)
          for (let i = 0; i < count; i += of.batch) {
            const m = of.batch === 1 ? make(i) : filled(make, i)
            if (!socket.write(`${JSON.stringify(m)}\n`)) await once(socket, 'drain')
          }
          socket.end()
          await once(socket, 'close')
          return sent()
        }
      }),
    }
  },

  async zeromq() {
    const { address, zmq } = await import('../peers/zeromq.mjs')
    return {
      check,
      cases: only(oneToOne, (of) => async (dir, { role, seconds }) => {
        const count = howMany(of.batch === 1 ? 100_000 : 1_000_000, seconds)
        if (role === 'consumer') {
          const pull = new zmq.Pull()
          await pull.bind(address(dir))
          return async () => {
            const arrivals = new Arrivals(count, false)
            for (let done = false; !done; ) {
              const [bytes] = await pull.receive()
              const m = JSON.parse(bytes.toString())
              if (of.batch === 1) done = arrivals.add(m)
              else for (const one of m) done = arrivals.add(one)
            }
            pull.close()
            return arrivals.result()
          }
        }
        const push = new zmq.Push()
        return async () => {
          push.connect(address(dir))
          const make = maker(of, 0)
          for (let i = 0; i < count; i += of.batch) {
            await push.send(JSON.stringify(of.batch === 1 ? make(i) : filled(make, i)))
          }
          return sent()
        }
      }),
    }
  },

  async ipc() {
    const { fork } = await import('node:child_process')
    return {
      check,
      cases: only(oneToOne, (of) => (_, { seconds, row }) => {
        const count = howMany(of.batch === 1 ? 100_000 : 500_000, seconds)
        return () => {
          const child = fork(fileURLToPath(new URL('../other-half.mjs', import.meta.url)), ['ipc', row, String(count)], {
            serialization: of.objects ? 'json' : 'advanced',
          })
          return new Promise((resolve, reject) => {
            const arrivals = new Arrivals(count, false)
            child.on('message', (m) => {
              try {
                let done
                if (of.batch === 1) done = arrivals.add(m)
                else for (const one of m) done = arrivals.add(one)
                if (done) resolve(arrivals.result())
              } catch (error) {
                reject(error)
              }
            })
            child.on('error', reject)
          })
        }
      }),
    }
  },

  async port() {
    const { Worker } = await import('node:worker_threads')
    return {
      check,
      cases: only(oneToOne, (of) => (_, { seconds, row }) => {
        const count = howMany(of.batch === 1 ? 200_000 : 500_000, seconds)
        return () => {
          const other = new Worker(new URL('../other-half.mjs', import.meta.url), { argv: ['port', row, String(count)] })
          return new Promise((resolve, reject) => {
            const arrivals = new Arrivals(count, false)
            other.on('message', (m) => {
              try {
                let done
                if (of.batch === 1) done = arrivals.add(m)
                else for (const one of m) done = arrivals.add(one)
                if (done) resolve(arrivals.result())
                // a port has no end to its queue: the sender waits for this now and then
                if (arrivals.got % 5000 === 0) other.postMessage('go on')
              } catch (error) {
                reject(error)
              }
            })
            other.on('error', reject)
          })
        }
      }),
    }
  },
}

/** Sends all messages of a row: the other half of who has started a process or a thread by itself. `send` may give a promise. */
export async function sendAll(row, count, send) {
  const of = kind(row)
  const make = maker(of, 0)
  for (let i = 0; i < count; i += of.batch) {
    const wait = send(of.batch === 1 ? make(i) : filled(make, i), i + of.batch, i + of.batch >= count)
    if (wait !== undefined) await wait
  }
}
