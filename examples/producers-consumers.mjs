// Messages of every kind from producers to consumers: each arrives exactly once, and those of one producer in the
// order in which it put them.
//   node examples/producers-consumers.mjs             3 producers, this process takes until 3 end marks
//   node examples/producers-consumers.mjs 4 4 250000  4 producers × 250,000 mixed messages, 4 consumers
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { Heap } from 'coheap'

const args = process.argv.slice(2)
const start = (...args) => fork(fileURLToPath(import.meta.url), args.map(String))
const roles = { simple, produceSimple, produce, consume }
if (args[0] in roles) await roles[args[0]](...args.slice(1))
else if (args.length === 3) await many(...args.map(Number))
else await simple()

async function simple() {
  const heap = Heap.create()
  const channel = heap.channel('numbers')
  const producers = [0, 1, 2].map((id) => start('produceSimple', heap.name, id))
  const got = [[], [], []]
  for (let marks = 0; marks < 3; ) {
    const message = await channel.take()
    if (message === 'end') marks++
    else got[message.producer].push(message.n)
  }
  for (const list of got) assert.deepEqual(list, Array.from({ length: 100 }, (_, n) => n))
  console.log(`${got.flat().length} numbers, each once, each producer's in order`)
  await Promise.all(producers.map((p) => p.exitCode ?? once(p, 'exit')))
  heap.close()
}

async function produceSimple(name, id) {
  const heap = Heap.open(name)
  const channel = heap.channel('numbers')
  for (let n = 0; n < 100; n++) await channel.put({ producer: Number(id), n })
  await channel.put('end')
  heap.close()
}

async function many(producers, consumers, count) {
  const heap = Heap.create()
  heap.channel('mixed', { capacity: 1024 })
  const seen = Array.from({ length: producers }, () => new Uint8Array(count))
  const last = Array.from({ length: consumers }, () => new Int32Array(producers).fill(-1))
  const takers = Array.from({ length: consumers }, (_, c) => {
    const child = start('consume', heap.name)
    child.on('message', (ids) => {
      for (const [producer, n] of ids) {
        seen[producer][n]++
        assert.ok(n > last[c][producer], `producer ${producer}: ${n} after ${last[c][producer]}`)
        last[c][producer] = n
      }
    })
    return child
  })
  const makers = Array.from({ length: producers }, (_, id) => start('produce', heap.name, id, count))
  await Promise.all(makers.map((child) => once(child, 'exit')))
  heap.channel('mixed').close()
  for (const [code] of await Promise.all(takers.map((child) => once(child, 'exit')))) assert.equal(code, 0)
  seen.forEach((list, id) => assert.ok(list.every((times) => times === 1), `producer ${id}: lost or doubled`))
  console.log(`${producers * count} messages of 4 kinds, each exactly once, each producer's in order`)
  heap.close()
}

// number, string, nested object, typed array in turn; every one says who made it and which it is
async function produce(name, id, count) {
  const heap = Heap.open(name)
  const channel = heap.channel('mixed')
  const producer = Number(id)
  const kinds = [
    (n) => producer * 1e6 + n,
    (n) => `${producer}:${n}`,
    (n) => ({ from: { producer }, list: [n] }),
    (n) => Int32Array.of(producer, n),
  ]
  for (let n = 0; n < Number(count); ) {
    const batch = []
    while (batch.length < 64 && n < Number(count)) batch.push(kinds[n % 4](n++))
    await channel.putMany(batch)
  }
  heap.close()
}

async function consume(name) {
  const heap = Heap.open(name)
  const channel = heap.channel('mixed')
  const idOf = (m) => {
    if (typeof m === 'number') return [Math.floor(m / 1e6), m % 1e6]
    if (typeof m === 'string') return m.split(':').map(Number)
    if (m instanceof Int32Array) return [m[0], m[1]]
    return [m.from.producer, m.list[0]]
  }
  let ids = []
  for await (const message of channel) {
    ids.push(idOf(message))
    for (const more of channel.takeMany(63)) ids.push(idOf(more))
    if (ids.length >= 1000) {
      process.send(ids)
      ids = []
    }
  }
  process.send(ids)
  heap.close()
  process.disconnect()
}
