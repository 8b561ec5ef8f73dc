// Processes die at random, and nothing of what they shared is lost, torn or locked. Eight processes move money between
// accounts and messages between channels; every few milliseconds one of them is killed at whatever instruction it has
// come to, and replaced. All the while the sum is right; in the end every message is where it should be.
//   node examples/death.mjs [--seconds 10 | --kills 1000]
// (What the dead leave unlinked in memory is garbage for the collector.)
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import assert from 'node:assert/strict'
import { Heap } from 'coheap'

const ACCOUNTS = 20
const SUM = ACCOUNTS * 1000
const MESSAGES = 200
const PROCESSES = 8
const self = fileURLToPath(import.meta.url)
const random = (n) => Math.floor(Math.random() * n)

/** Works until it is killed, or until its parent is gone. */
function work(name, parent) {
  let heap
  try {
    heap = Heap.open(name)
  } catch (error) {
    // a parent that has failed has said why, and took the heap with it
    if (process.ppid !== parent) return
    throw error
  }
  const accounts = [...heap.root.accounts]
  const [there, back, loose] = ['there', 'back', 'loose'].map((name) => heap.channel(name))
  const tasks = [
    function transfer() {
      const [from, to] = [random(ACCOUNTS), random(ACCOUNTS)]
      heap.transaction(() => {
        accounts[from].balance -= 7
        accounts[to].balance += 7
      })
    },
    // taken from one channel and put into the other, or neither
    function pass() {
      const [from, to] = random(2) ? [there, back] : [back, there]
      heap.transaction(() => {
        const message = from.tryTake()
        if (message !== undefined) to.tryPut(message)
      })
    },
    // outside of a transaction a message dies with its taker, if that is killed between the two
    function takeAndPut() {
      const message = loose.tryTake()
      if (message !== undefined) loose.tryPut(message)
    },
    function grow() {
      const key = `key ${random(2000)}`
      heap.transaction(() => {
        if (heap.root.map.delete(key)) heap.root.size--
        else {
          heap.root.map.set(key, `a text of ${process.pid}`)
          heap.root.size++
        }
      })
    },
  ]
  heap.channel('ready').tryPut(process.pid)
  while (process.ppid === parent) for (let i = 0; i < 100; i++) tasks[random(tasks.length)]()
}

/** All that is in a channel. What a dead process was just taking is passed over at first, and is there at the next call. */
function drain(channel) {
  const all = []
  while (channel.length > 0) all.push(...channel.takeMany(MESSAGES))
  return all
}

async function main() {
  const { values } = parseArgs({ options: { seconds: { type: 'string' }, kills: { type: 'string' } } })
  const kills = Number(values.kills ?? Infinity)
  const seconds = Number(values.seconds ?? (values.kills ? Infinity : 10))
  const deadline = performance.now() + seconds * 1000
  const heap = Heap.create()
  const { name, root } = heap
  root.accounts = Array.from({ length: ACCOUNTS }, () => ({ balance: SUM / ACCOUNTS }))
  root.map = new Map()
  root.size = 0
  const [there, back, loose, ready] = ['there', 'back', 'loose', 'ready'].map((name) => heap.channel(name))
  const messages = Array.from({ length: MESSAGES }, (_, i) => `message ${i}`)
  there.tryPutMany(messages)
  loose.tryPutMany(messages)

  /** Looks at everything at one moment; waits for nobody that is dead. */
  const check = () =>
    heap.transaction(() => {
      assert.equal(
        root.accounts.reduce((sum, account) => sum + account.balance, 0),
        SUM,
      )
      assert.equal(there.length + back.length, MESSAGES)
      assert.equal(root.map.size, root.size)
    })

  const children = new Map()
  const working = []
  let [deaths, longest, ending] = [0, 0, false]
  // what was so when the first thing went wrong, whoever complains afterwards
  process.on('uncaughtExceptionMonitor', () => {
    const there = Heap.list().find((info) => info.name === name)
    console.error(`after ${performance.now().toFixed()} ms and ${deaths} deaths; the heap:`, there ?? 'has no name')
  })
  const start = () => {
    const child = spawn(process.execPath, [self, 'worker', name, String(process.pid)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    children.set(child.pid, child)
    child.on('exit', (code, signal) => {
      // what it held is free, or is freed by whoever needs it
      const noticed = performance.now()
      check()
      longest = Math.max(longest, performance.now() - noticed)
      assert.equal(signal, 'SIGKILL', `a process has ended by itself: ${code}`)
      children.delete(child.pid)
      deaths++
      if (!ending) start()
    })
  }
  for (let i = 0; i < PROCESSES; i++) start()

  for (let killed = 0; killed < kills && performance.now() < deadline;) {
    await sleep(random(8))
    working.push(...ready.takeMany(PROCESSES))
    if (working.length > 0) {
      const [pid] = working.splice(random(working.length), 1)
      children.get(pid).kill('SIGKILL')
      killed++
    }
    check()
  }
  ending = true
  for (const child of children.values()) child.kill('SIGKILL')
  while (children.size > 0) await sleep(1)

  check()
  assert.deepEqual([...drain(there), ...drain(back)].sort(), messages.sort())
  const left = drain(loose)
  assert.equal(new Set(left).size, left.length)
  assert.ok(MESSAGES - left.length <= deaths)
  assert.deepEqual(heap.verify(), [])
  const alive = heap.participants().filter((who) => who.alive)
  assert.deepEqual(
    alive.map((who) => who.pid),
    [process.pid],
  )
  heap.close()
  assert.ok(!Heap.list().some((info) => info.name === name))
  console.log(`${deaths} deaths; the longest look at everything after one took ${longest.toFixed(1)} ms`)
  console.log(`the sum is ${SUM}; ${MESSAGES} messages passed on in transactions are there, each once`)
  console.log(`of ${MESSAGES} others ${MESSAGES - left.length} died with their takers; no fault found, nothing left`)
}

if (process.argv[2] === 'worker') work(process.argv[3], Number(process.argv[4]))
else await main()
