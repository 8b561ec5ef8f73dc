// One nested instance with every kind of field: put and taken, and some of it read.
import { fileURLToPath } from 'node:url'
import { atLeast, pairs } from '../rows.mjs'
import { wrong } from '../work.mjs'

export const title = 'nested objects'
export const NESTED = 'put / take of a nested instance'
export const rows = [{ name: NESTED, roles: pairs(1), unit: 'k/s', bar: atLeast(300e3, 'k/s') }]

class Employee {
  constructor(name, salary) {
    this.name = name
    this.salary = salary
  }
  get monthly() {
    return this.salary / 12
  }
}
class Metrics {
  constructor(visits, load) {
    this.visits = visits
    this.load = load
  }
}
class Company {
  constructor(id, emails, sites, income, employees, metrics) {
    Object.assign(this, { id, emails, sites, income, employees, metrics })
  }
}
class Message {
  flag = false
  string = 'as it was sent'
  map = new Map([['key1', 1]])
  frozen = Object.freeze(['key', 2])
  bytes = Int32Array.of(1, 2, 3)
  constructor(int, metrics) {
    this.int = int
    this.company = new Company(7n, ['info@example.org'], new Set(['Berlin']), { y2023: 10.5 }, [new Employee('Ada', 60_000)], metrics)
  }
}

/** The message with number i. */
const make = (i, metrics) => new Message(i, metrics)
const plain = (i) => make(i, new Metrics(i % 200, 0.5))

/** Of each message its number; of every hundredth all kinds of fields. */
function check(m, i) {
  if (m.int !== i) throw wrong(`message ${m.int} came where ${i} was due`)
  if (i % 100 !== 0) return
  const { company } = m
  const all = [m.flag, m.string, m.map.get('key1'), m.frozen[1], m.bytes[2], company.id, company.emails[0], company.sites.has('Berlin'), company.income.y2023]
  const right = [false, 'as it was sent', 1, 2, 3, 7n, 'info@example.org', true, 10.5]
  right.forEach((x, k) => {
    if (all[k] !== x) throw wrong(`field ${k} of message ${i} is ${String(all[k])}`)
  })
  if (company.employees[0].salary / 12 !== 5000 || company.metrics.visits !== i % 200) throw wrong(`message ${i}`)
}

/** Times arrivals; the first fifth does not count. */
class Clock {
  constructor(count) {
    this.count = count
    this.first = Math.floor(count / 5)
    this.got = 0
  }
  add(m) {
    check(m, this.got)
    if (this.got++ === this.first) this.start = performance.now()
    return this.got === this.count
  }
  result() {
    return { ops: this.count - this.first - 1, seconds: (performance.now() - this.start) / 1000 }
  }
}
const howMany = (rate, seconds) => Math.max(1000, Math.ceil(rate * Math.max(0.3, seconds)))
const sent = () => ({ seconds: 0 })

/** Receives from who has been started by this process. */
const receive = (emitter, clock) =>
  new Promise((resolve, reject) => {
    emitter.on('message', (m) => {
      try {
        if (clock.add(m)) resolve(clock.result())
        if (clock.got % 100 === 0) emitter.postMessage?.('go on')
      } catch (error) {
        reject(error)
      }
    })
    emitter.on('error', reject)
  })

export const entries = {
  async coheap() {
    const { register, struct } = await import('coheap')
    const Live = struct('Metrics', { visits: 'u8', load: 'f64' })
    register(Employee)
    register(Company)
    register(Message)
    return {
      // nothing of what has been taken is given back within a run
      options: { size: '1GiB', maxSize: '8GiB' },
      cases: {
        [NESTED](heap, { role, seconds }) {
          const count = howMany(100_000, seconds)
          const channel = heap.channel('messages', { capacity: 1024 })
          if (role === 'producer') {
            return () => {
              for (let i = 0; i < count; i++) channel.putSync(make(i, new Live({ visits: i % 200, load: 0.5 })))
              return sent()
            }
          }
          return () => {
            const clock = new Clock(count)
            while (!clock.add(channel.takeSync())) continue
            return clock.result()
          }
        },
      },
    }
  },

  async ipc() {
    const { fork } = await import('node:child_process')
    return {
      cases: {
        [NESTED]: (_, { seconds }) => () => {
          const count = howMany(10_000, seconds)
          const child = fork(fileURLToPath(new URL('../other-half.mjs', import.meta.url)), ['ipc', NESTED, String(count)], { serialization: 'advanced' })
          return receive(child, new Clock(count))
        },
      },
    }
  },

  async port() {
    const { Worker } = await import('node:worker_threads')
    return {
      cases: {
        [NESTED]: (_, { seconds }) => () => {
          const count = howMany(20_000, seconds)
          return receive(new Worker(new URL('../other-half.mjs', import.meta.url), { argv: ['port', NESTED, String(count)] }), new Clock(count))
        },
      },
    }
  },

  async zeromq() {
    const { address, zmq } = await import('../peers/zeromq.mjs')
    const { deserialize, serialize } = await import('node:v8')
    return {
      cases: {
        async [NESTED](dir, { role, seconds }) {
          const count = howMany(10_000, seconds)
          if (role === 'consumer') {
            const pull = new zmq.Pull()
            await pull.bind(address(dir))
            return async () => {
              const clock = new Clock(count)
              while (!clock.add(deserialize((await pull.receive())[0]))) continue
              pull.close()
              return clock.result()
            }
          }
          const push = new zmq.Push()
          return async () => {
            push.connect(address(dir))
            for (let i = 0; i < count; i++) await push.send(serialize(plain(i)))
            return sent()
          }
        },
      },
    }
  },
}

/** Sends all messages: the other half of who has started a process or a thread by itself. */
export async function sendNested(count, send) {
  for (let i = 0; i < count; i++) {
    const wait = send(plain(i), i + 1, i + 1 === count)
    if (wait !== undefined) await wait
  }
}
