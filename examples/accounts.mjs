// Money moves between 200 accounts in W processes at once, and an auditor adds everything up all the while.
// The sum never changes and no balance is ever negative, at any moment that anyone can see. The accounts are instances of
// a class that every process registers.
//   node examples/accounts.mjs [processes] [transfers in all]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { Heap, register } from 'coheap'

class Account {
  constructor(id, balance) {
    this.id = id
    this.balance = balance
  }

  /** Moves money to another account, if there is enough: how many moves that were. */
  pay(target, amount) {
    if (this.balance < amount) return 0
    this.balance -= amount
    target.balance += amount
    return 1
  }
}
register(Account, { fields: { id: 'u32', balance: 'i32' } })

const ACCOUNTS = 200
const [role, name, count] = process.argv.slice(2)
const random = (n) => Math.floor(Math.random() * n)

if (role === 'teller') {
  const heap = Heap.open(name)
  const { accounts } = heap.root
  let moved = 0
  for (let i = 0; i < Number(count); i++) {
    const from = random(ACCOUNTS)
    const to = (from + 1 + random(ACCOUNTS - 1)) % ACCOUNTS
    const amount = 1 + random(49)
    moved += heap.transaction(() => accounts[`client${from}`].pay(accounts[`client${to}`], amount))
  }
  process.send(moved)
  heap.close()
  process.disconnect()
} else if (role === 'auditor') {
  const heap = Heap.open(name)
  const { accounts } = heap.root
  const audit = () =>
    heap.transaction(() => {
      let sum = 0
      for (let i = 0; i < ACCOUNTS; i++) {
        const { balance } = accounts[`client${i}`]
        assert.ok(balance >= 0, `client${i} has ${balance}`)
        sum += balance
      }
      return sum
    })
  const expected = audit()
  process.send('ready')
  let looks = 0
  while (!heap.root.closed) {
    assert.equal(audit(), expected)
    looks++
  }
  process.send(looks)
  heap.close()
  process.disconnect()
} else {
  const processes = Number(role ?? 4)
  const transfers = Number(name ?? 100_000)
  const heap = Heap.create()
  heap.root.closed = false
  heap.root.accounts = Object.fromEntries(
    Array.from({ length: ACCOUNTS }, (_, i) => [`client${i}`, new Account(i, random(1000))]),
  )
  assert.ok(heap.root.accounts.client0 instanceof Account)
  const sum = () => heap.transaction(() => Object.values(heap.root.accounts).reduce((a, x) => a + x.balance, 0))
  const before = sum()
  const start = (...args) => fork(fileURLToPath(import.meta.url), args)

  const auditor = start('auditor', heap.name)
  await once(auditor, 'message')
  const tellers = Array.from({ length: processes }, (_, i) => {
    const share = Math.floor(transfers / processes) + (i < transfers % processes ? 1 : 0)
    return start('teller', heap.name, share)
  })
  const moved = (await Promise.all(tellers.map((teller) => once(teller, 'message')))).reduce((a, [m]) => a + m, 0)
  heap.root.closed = true
  const [[looks]] = await Promise.all([once(auditor, 'message'), once(auditor, 'exit')])
  await Promise.all(tellers.map((teller) => teller.exitCode ?? once(teller, 'exit')))
  assert.equal(auditor.exitCode, 0)
  const after = sum()
  assert.equal(after, before)
  console.log(`${transfers} transfers tried by ${processes} processes, ${moved} done; ${looks} audits meanwhile`)
  console.log(`sum before ${before}, sum after ${after}`)
  heap.close()
}
