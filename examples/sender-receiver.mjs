// A message that is a whole little world of instances: the receiver takes it, changes every kind of field and calls
// methods; the sender, which still holds the same live objects, sees every change. Nothing is copied back.
//   node examples/sender-receiver.mjs
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import assert from 'node:assert/strict'
import { Heap, register, retry, snapshot, struct } from 'coheap'

class Employee {
  constructor(name, salary) {
    this.name = name
    this.salary = salary
  }
  get monthly() {
    return this.salary / 12
  }
  raise(percent) {
    this.salary += (this.salary * percent) / 100
    return this
  }
}

// a fixed layout: for what is read and written all the time
const Metrics = struct('Metrics', { visits: 'u8', load: 'f64' })

class Company {
  constructor(id, emails, sites, income, employees, metrics) {
    Object.assign(this, { id, emails, sites, income, employees, metrics })
  }
  hire(employee) {
    this.employees.push(employee)
    // what was stored is live: this is the shared one
    return this.employees.at(-1)
  }
}

class Message {
  flag = false
  int = 1
  string = 'as it was sent'
  map = new Map([['key1', 1]])
  frozen = Object.freeze(['key', 2])
  bytes = Int32Array.of(1, 2, 3)
  company = new Company(
    7n,
    ['info@example.org'],
    new Set(['Berlin']),
    { y2023: 10.5 },
    [new Employee('Ada', 60_000)],
    new Metrics({ visits: 250, load: 0.5 }),
  )
}

// the same lines in every process
register(Employee, { fields: { name: 'string', salary: 'f64' } })
register(Company)
register(Message)

const [role, name] = process.argv.slice(2)

if (role === 'receiver') {
  const heap = Heap.open(name)
  const message = await heap.channel('messages').take()
  assert.ok(message instanceof Message && message.company instanceof Company)
  const { company } = message
  message.int += 41
  message.string = message.string.replace('was sent', 'is now')
  message.map.set('key1', 2).set('key2', [new Date(0)])
  message.frozen = Object.freeze([...message.frozen, 3])
  message.bytes[1] = -2
  company.id += 1n
  company.emails.push('jobs@example.org')
  company.sites.add('Lyon')
  company.income.y2024 = 11.25
  company.metrics.visits += 10 // a u8: 260 is 4
  company.employees[0].raise(10)
  company.hire(new Employee('Grace', 72_000)).raise(50)
  message.flag = true
  process.send(inspect(message, { depth: 5 }))
  heap.close()
  process.disconnect()
} else {
  const heap = Heap.create()
  const receiver = fork(fileURLToPath(import.meta.url), ['receiver', heap.name])
  const said = once(receiver, 'message')
  const message = await heap.channel('messages').put(new Message())
  // waits without polling: runs again when something that it has read has changed
  await heap.transactionAsync(() => message.flag || retry())
  const [theirs] = await said
  const mine = inspect(message, { depth: 5 })
  assert.equal(mine, theirs)
  console.log(mine)

  const [ada, grace] = message.company.employees
  assert.ok(grace instanceof Employee)
  console.log(`${ada.name} has ${ada.monthly} a month, ${grace.name} ${grace.monthly}`)
  assert.ok(snapshot(message).company.employees[1] instanceof Employee)
  heap.close()
}
