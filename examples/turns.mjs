// Processes take turns with one shared message: a channel holds one token, and who has taken it has the turn. In a turn a
// process increments a number 2,000 times, at the speed of a plain property, and nobody sees it half-way.
//   node examples/turns.mjs                     2 processes, 1,000 turns each
//   node examples/turns.mjs 4                   4 processes
//   node examples/turns.mjs 2 1000 retry        no token: a transaction a turn, which waits until it is its turn
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { Heap, retry } from 'coheap'

const INCREMENTS = 2_000
const [first, ...rest] = process.argv.slice(2)

if (first === 'player') {
  const [name, me, players, turns, means] = rest
  const heap = Heap.open(name)
  const play = means === 'retry' ? playInTransactions : playWithToken
  await play(heap, Number(me), Number(players), Number(turns))
  heap.close()
} else {
  const [players, turns, means] = [Number(first ?? 2), Number(rest[0] ?? 1_000), rest[1] ?? 'token']
  const heap = Heap.create()
  heap.root.message = ['hello', 0, [8, 2.0, false], new Map([['world', -6], [5, 4]])] // prettier-ignore
  heap.root.turn = 0
  const path = fileURLToPath(import.meta.url)
  const args = (me) => ['player', heap.name, me, players, turns, means].map(String)
  const children = Array.from({ length: players }, (_, me) => fork(path, args(me)))
  if (means === 'token') await heap.channel('token').put('your turn')
  for (const [code] of await Promise.all(children.map((child) => once(child, 'exit')))) assert.equal(code, 0)

  const { message, turn } = heap.root
  assert.equal(turn, players * turns)
  assert.equal(message[1], players * turns * INCREMENTS)
  console.log(`${turn} turns of ${players} processes:`, message)
  heap.close()
}

async function playWithToken(heap, _me, _players, turns) {
  const { root } = heap
  const { message } = root
  const token = heap.channel('token')
  for (let i = 0; i < turns; i++) {
    // who waits uses no CPU; the token goes to one of those who wait
    const mine = await token.take()
    // nobody else writes now: plain reads and writes are enough
    for (let n = 0; n < INCREMENTS; n++) message[1] += 1
    root.turn += 1
    await token.put(mine)
  }
}

// one after the other, round the table: whose turn it is stands in the heap
async function playInTransactions(heap, me, players, turns) {
  const { root } = heap
  const { message } = root
  for (let i = 0; i < turns; i++) {
    await heap.transactionAsync(() => {
      // gives up, and runs again when what it has read has changed
      if (root.turn % players !== me) retry()
      for (let n = 0; n < INCREMENTS; n++) message[1] += 1
      root.turn += 1
    })
  }
}
