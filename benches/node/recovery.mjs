// A process is killed while it works on an object that others need: how long after the system has reported its death
// does a survivor write that object? Coheap, lmdb and ems do the same work, in one run: a victim changes objects
// atomically, over and over, and is killed at a moment that nobody chooses. Where it was then it has noted in memory that
// outlives it: not holding anything, holding the object, or in the middle of its commit. Prints a table, writes
// recovery.json.
// Part of `npm start`; alone:
//   node recovery.mjs [--rounds 100] [--limit 2000] [--out recovery.json]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import Table from 'cli-table3'
import { Heap } from 'coheap'

const self = fileURLToPath(import.meta.url)
/** Objects that are changed together. */
const OBJECTS = 20
/** Where a victim is. */
const [NOWHERE, HOLDING, COMMITTING] = [0, 1, 2]
const WHERE = ['holding nothing', 'holding the object', 'in its commit']

// Each peer: `make` fills a store; `open` gives a process's view of it: `work(note)` changes all objects once and notes where
// it is, `write()` changes the first object, `check()` that no half change is to be seen.
const PEERS = {
  async coheap() {
    return {
      make: () => {},
      open(dir, heap) {
        const objects = [...heap.root.objects]
        return {
          work(note) {
            heap.transaction(() => {
              objects[0].n++
              note(HOLDING)
              for (let i = 1; i < OBJECTS; i++) objects[i].n++
              note(COMMITTING)
            })
            note(NOWHERE)
          },
          write: () => heap.transaction(() => objects[0].n++),
          check: () => new Set(heap.transaction(() => objects.map((o) => o.n)).slice(1)).size === 1,
        }
      },
    }
  },
  async lmdb() {
    const { open } = await import('lmdb')
    const connect = (dir) => open({ path: join(dir, 'db'), noSync: true, mapSize: 16 << 20 })
    return {
      async make(dir) {
        const db = connect(dir)
        db.transactionSync(() => {
          for (let i = 0; i < OBJECTS; i++) db.put(i, { n: 0 })
        })
        await db.close()
      },
      open(dir) {
        const db = connect(dir)
        const add = (i) => db.put(i, { n: db.get(i).n + 1 })
        return {
          work(note) {
            db.transactionSync(() => {
              note(HOLDING)
              for (let i = 0; i < OBJECTS; i++) add(i)
              note(COMMITTING)
            })
            note(NOWHERE)
          },
          write: () => db.transactionSync(() => add(0)),
          check: () => new Set(Array.from({ length: OBJECTS - 1 }, (_, i) => db.get(i + 1).n)).size === 1,
        }
      },
    }
  },
  async ems() {
    const ems = createRequire(import.meta.url)('ems')
    const array = (dir, create) =>
      ems(1, false, 'user', join('/', `recovery-ems-${process.pid}`)).new({
        filename: join(dir, 'objects'),
        dimensions: [OBJECTS],
        useExisting: !create,
        ...(create ? { doDataFill: true, dataFill: 0, doSetFEtags: true, setFEtags: 'full' } : {}),
      })
    return {
      make: (dir) => void array(dir, true),
      open(dir) {
        const objects = array(dir, false)
        const add = (i) => objects.writeEF(i, objects.readFE(i) + 1)
        return {
          work(note) {
            // an element is locked while it is empty
            const n = objects.readFE(0)
            note(HOLDING)
            for (let i = 1; i < OBJECTS; i++) add(i)
            objects.writeEF(0, n + 1)
            note(NOWHERE)
          },
          write: () => add(0),
          check: () => true,
        }
      },
      leave: () => rmSync(`/dev/shm/recovery-ems-${process.pid}`, { force: true }),
    }
  },
}

const [role, name, dir, heapName] = process.argv.slice(2)
if (role === 'victim') await victim()
else if (role === 'survivor') await survivor()
else await main()

/** Works until it is killed. */
async function victim() {
  const heap = Heap.open(heapName)
  const { where } = heap.root
  const peer = (await PEERS[name]()).open(dir, heap)
  const note = (place) => (where[0] = place)
  for (let i = 0; i < 1000; i++) peer.work(note)
  process.send('ready')
  // the channel to its parent needs the event loop once more
  await new Promise((resolve) => setImmediate(resolve))
  for (;;) peer.work(note)
}

/** Starts one victim after the other, kills it, and writes as soon as its death is reported. */
async function survivor() {
  const heap = Heap.open(heapName)
  const { where } = heap.root
  const { open, leave } = await PEERS[name]()
  const peer = open(dir, heap)
  process.on('message', async () => {
    const child = fork(self, ['victim', name, dir, heapName])
    await once(child, 'message')
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 5))
    child.kill('SIGKILL')
    await once(child, 'exit')
    const place = where[0]
    // should the write never end, it is known where the victim was
    process.send({ place, pid: child.pid })
    const reported = performance.now()
    peer.write()
    const ms = performance.now() - reported
    assert.ok(peer.check(), 'half a change was seen')
    process.send({ ms })
  })
  process.on('disconnect', () => {
    leave?.()
    process.exit()
  })
  process.send('ready')
}

async function main() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '100' },
      limit: { type: 'string', default: '2000' },
      peers: { type: 'string', default: Object.keys(PEERS).join() },
      out: { type: 'string', default: fileURLToPath(new URL('recovery.json', import.meta.url)) },
    },
  })
  const [rounds, limit] = [Number(values.rounds), Number(values.limit)]
  const heap = Heap.create()
  heap.root.objects = Array.from({ length: OBJECTS }, () => ({ n: 0 }))
  heap.root.where = new Int32Array(1)
  const figures = []
  for (const name of Object.keys(PEERS).filter((name) => values.peers.split(',').includes(name))) {
    try {
      figures.push(...(await measure(name, heap, rounds, limit)))
    } catch (error) {
      console.log(`skipped ${name}: ${error.message.split('\n')[0]}`)
    }
  }
  heap.close()
  const table = new Table({
    style: process.stdout.isTTY ? {} : { head: [], border: [] },
    head: ['killed while', 'peer', 'deaths', 'median', '99 %', 'longest (ms)'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right'],
  })
  const ms = (x) => (x === null ? 'never' : x.toFixed(3))
  for (const { killed, peer, deaths, median, p99, longest } of figures) {
    table.push([killed, peer, deaths, ms(median), ms(p99), ms(longest)])
  }
  console.log(`from the report of a death to a survivor's write of the same object; never: not in ${limit} ms`)
  console.log(table.toString())
  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length }
  writeFileSync(values.out, `${JSON.stringify({ date: new Date().toISOString(), ...machine, rounds, limit, figures }, null, 2)}\n`)
}

/** Kills `rounds` victims of one peer; who has never come back three times is not asked again. */
async function measure(name, heap, rounds, limit) {
  const { make, leave } = await PEERS[name]()
  const times = WHERE.map(() => [])
  let dir
  let child
  const end = async (signal) => {
    if (child === undefined) return
    signal ? child.kill(signal) : child.disconnect()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    rmSync(dir, { recursive: true, force: true })
    rmSync(`/dev/shm/recovery-ems-${child.pid}`, { force: true })
    child = undefined
  }
  const start = async () => {
    dir = mkdtempSync(`/dev/shm/recovery-${name}-`)
    await make(dir)
    child = fork(self, ['survivor', name, dir, heap.name])
    await once(child, 'message')
  }
  /** The survivor's next message; `undefined` if it takes longer than the limit. */
  const message = (ms) => {
    let timer
    const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)))
    return Promise.race([once(child, 'message').then(([m]) => m), late]).finally(() => clearTimeout(timer))
  }
  let never = 0
  for (let round = 0; round < rounds && never < 3; round++) {
    if (child === undefined) await start()
    child.send('next')
    const death = await message(60_000)
    if (death === undefined) throw new Error('no victim has died in a minute')
    const written = await message(limit)
    rmSync(`/dev/shm/recovery-ems-${death.pid}`, { force: true })
    if (written !== undefined) {
      times[death.place].push(written.ms)
      continue
    }
    times[death.place].push(Infinity)
    never++
    await end('SIGKILL')
  }
  await end()
  leave?.()
  return times.flatMap((list, place) => {
    if (list.length === 0) return []
    list.sort((a, b) => a - b)
    const at = (share) => list[Math.min(list.length - 1, Math.floor(list.length * share))]
    const figure = (x) => (x === Infinity ? null : x)
    const [median, p99, longest] = [at(0.5), at(0.99), at(1)].map(figure)
    return [{ killed: WHERE[place], peer: name, deaths: list.length, median, p99, longest }]
  })
}
