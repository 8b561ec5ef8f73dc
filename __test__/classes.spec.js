// Instances of registered classes are live objects with their class's prototype, in every process that registers it.
import test from 'ava'
import { fork } from 'node:child_process'
import { inspect } from 'node:util'
import { Heap, isShared, register, snapshot } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

class Account {
  static opened = 0
  static open(balance) {
    Account.opened++
    return new Account(balance)
  }
  currency = 'EUR'
  constructor(balance) {
    if (new.target === undefined || balance === undefined) throw new Error('the constructor needs a balance')
    this.balance = balance
  }
  deposit(amount) {
    this.balance += amount
    return this
  }
  get cents() {
    return this.balance * 100
  }
  set cents(n) {
    this.balance = n / 100
  }
  get [Symbol.toStringTag]() {
    return 'Account!'
  }
}
class Savings extends Account {
  rate = 0.5
  deposit(amount) {
    super.deposit(amount * (1 + this.rate))
    return this
  }
}
class Secretive {
  #secret = 42
  open = 1
  reveal() {
    return this.#secret
  }
  static knows(value) {
    return #secret in value
  }
}
class Dated {
  when = 5
  toJSON() {
    return { at: this.when }
  }
}
class Unknown {}
class Stranger extends Account {}
register(Account)
register(Savings, { name: 'bank/Savings' })
register(Secretive)
register(Dated)

const heap = Heap.create()
test.after.always(() => heap.close())
const root = heap.root

test('an instance is live, and its methods and accessors work on it', (t) => {
  root.account = Account.open(10)
  const { account } = root
  t.true(account instanceof Account)
  t.true(isShared(account))
  t.is(Object.getPrototypeOf(account), Account.prototype)
  t.is(account.constructor, Account)
  t.is(account.deposit(5), account)
  t.is(root.account.balance, 15)
  t.is(account.cents, 1500)
  account.cents = 250
  t.is(account.balance, 2.5)
  t.deepEqual(Object.keys(account), ['currency', 'balance'])
  t.false(Object.hasOwn(account, 'cents'))
  t.true('cents' in account && 'deposit' in account)
  t.deepEqual({ ...account }, { currency: 'EUR', balance: 2.5 })
  t.is(Object.prototype.toString.call(account), '[object Account!]')
  t.is(Account.opened, 1)
  t.is(account.opened, undefined)
  account.note = 'more properties are allowed'
  t.is(root.account.note, 'more properties are allowed')
  t.true(delete account.note)
  account.deposit = 'a method can be covered'
  t.is(account.deposit, 'a method can be covered')
  delete account.deposit
  t.is(typeof account.deposit, 'function')
  t.deepEqual(heap.verify(), [])
})

test('a subclass is registered for itself, and one that is not is refused by name', (t) => {
  root.savings = new Savings(100)
  t.true(root.savings instanceof Savings && root.savings instanceof Account)
  t.is(root.savings.deposit(10).balance, 115)
  const error = t.throws(() => (root.list = [1, { a: new Stranger(1) }]), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.is(error.message, 'an instance of the class Stranger, which is not registered, cannot be stored: $[1].a')
  t.throws(() => (root.list = new Unknown()), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE', message: /Unknown.*: \$$/ })
  t.false('list' in root)
})

test('instances stand anywhere, with cycles and aliases, and have an identity', (t) => {
  const a = new Account(1)
  a.self = a
  const live = heap.share({ a, again: a, map: new Map([[a, new Set([a])]]), list: [a] })
  t.is(live.a, live.again)
  t.is(live.a.self, live.a)
  t.is(live.list[0], live.a)
  t.true(live.map.get(live.a).has(live.a))
  t.true([...live.map.keys()][0] instanceof Account)
})

test('private fields are not stored, and methods that touch them throw as the language says', (t) => {
  root.secretive = new Secretive()
  t.deepEqual(Object.keys(root.secretive), ['open'])
  t.throws(() => root.secretive.reveal(), { instanceOf: TypeError })
  t.false(Secretive.knows(root.secretive))
})

test('toJSON, util.inspect and a way to be inspected of its own', (t) => {
  root.dated = new Dated()
  t.is(JSON.stringify(root.dated), '{"at":5}')
  t.is(inspect(root.dated), 'Shared Dated { when: 5 }')
  t.is(inspect({ x: root.dated }, { depth: 0 }), '{ x: [Shared Dated] }')
  root.dated.me = root.dated
  t.is(inspect(root.dated), '<ref *1> Shared Dated { when: 5, me: [Circular *1] }')
  class Own {
    [inspect.custom]() {
      return `Own<${this.a}>`
    }
    a = 1
  }
  register(Own)
  root.own = new Own()
  t.is(inspect(root.own), 'Own<1>')
})

test('a frozen instance is by value, really frozen, and keeps its prototype', (t) => {
  const plain = Object.freeze(new Account(7))
  root.frozen = Object.freeze([plain, Object.freeze(new Account(8)), { live: new Account(9) }])
  root.alone = plain
  for (const account of [root.alone, root.frozen[0]]) {
    t.true(account instanceof Account)
    t.true(Object.isFrozen(account))
    t.false(isShared(account))
    t.is(account.cents, 700)
    t.throws(() => account.deposit(1), { code: 'ERR_COHEAP_READ_ONLY' })
  }
  t.is(root.frozen[1].balance, 8)
  t.true(root.frozen[2].live instanceof Account && isShared(root.frozen[2].live))
  t.deepEqual(heap.verify(), [])
})

test('a snapshot keeps instances instances', (t) => {
  const copy = snapshot(heap.share({ a: new Account(3), list: [new Savings(4)], f: Object.freeze(new Account(5)) }))
  t.true(copy.a instanceof Account && !isShared(copy.a))
  t.true(copy.list[0] instanceof Savings)
  t.is(copy.a.deposit(1).balance, 4)
  t.true(copy.f instanceof Account && Object.isFrozen(copy.f))
  // a plain container with live members, too
  const outer = snapshot([heap.share(new Account(6))])
  t.true(outer[0] instanceof Account && !isShared(outer[0]))
})

test('many properties, dictionaries and deletion keep the class', (t) => {
  const big = new Account(1)
  for (let i = 0; i < 200; i++) big['k' + i] = i
  root.big = big
  t.true(root.big instanceof Account)
  t.is(root.big.k199, 199)
  t.is(root.big.cents, 100)
  root.small = new Account(1)
  delete root.small.currency
  root.small.other = 1
  t.true(root.small instanceof Account)
  t.deepEqual(Object.keys(root.small), ['balance', 'other'])
  for (let i = 0; i < 100; i++) root.small['p' + i] = i
  t.true(root.small instanceof Account)
  t.is(root.small.p99, 99)
  t.deepEqual(heap.verify(), [])
})

test('an instance comes and goes with its transaction', (t) => {
  t.throws(
    () =>
      heap.transaction(() => {
        root.undone = new Account(1)
        t.is(root.undone.deposit(1).balance, 2)
        throw new Error('undo')
      }),
    { message: 'undo' },
  )
  t.false('undone' in root)
  heap.transaction(() => (root.done = new Account(1)).deposit(4))
  t.is(root.done.deposit(1).balance, 2)
})

test('declared fields are checked and wrapped when they are written, others stay allowed', (t) => {
  class Typed {
    constructor(o) {
      Object.assign(this, o)
    }
  }
  const fields = {
    f64: 'f64',
    f32: 'f32',
    i8: 'i8',
    u8: 'u8',
    i16: 'i16',
    u16: 'u16',
    i32: 'i32',
    u32: 'u32',
    bool: 'bool',
    i64: 'i64',
    u64: 'u64',
    string: 'string',
    any: 'any',
  }
  register(Typed, { fields })
  register(Typed, { fields: { ...fields } })
  t.throws(() => register(Typed, { fields: { f64: 'f32' } }), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => register(Typed), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  const wide = { i8: 300, u8: -1, i16: 70000, u16: -2, i32: 2 ** 31, u32: -3, f32: 0.1, f64: 0.1 }
  const wrapped = { i8: 44, u8: 255, i16: 4464, u16: 65534, i32: -(2 ** 31), u32: 2 ** 32 - 3, f32: Math.fround(0.1) }
  root.typed = new Typed(wide)
  for (const [key, value] of Object.entries(wrapped)) t.is(root.typed[key], value, key)
  t.is(root.typed.f64, 0.1)
  t.false('string' in root.typed, 'what is absent stays absent')
  const o = root.typed
  o.i64 = 2n ** 63n
  o.u64 = -1n
  t.is(o.i64, -(2n ** 63n))
  t.is(o.u64, 2n ** 64n - 1n)
  o.u8 = 256.9
  t.is(o.u8, 0)
  o.i32 = NaN
  t.is(o.i32, 0)
  o.other = 'allowed'
  const wrong = { f64: '1', u8: 1n, bool: 1, i64: 1, string: 5, f32: undefined }
  for (const [key, value] of Object.entries(wrong)) {
    const message = new RegExp(`the field ${key} takes a `)
    t.throws(() => (o[key] = value), { code: 'ERR_COHEAP_INVALID_ARGUMENT', instanceOf: TypeError, message }, key)
    t.throws(() => Object.defineProperty(o, key, { value, writable: true, enumerable: true, configurable: true }), {
      code: 'ERR_COHEAP_INVALID_ARGUMENT',
    })
    const error = t.throws(() => (root.list = [{ a: new Typed({ [key]: value }) }]), { message })
    t.true(error.message.endsWith(`: $[0].a.${key}`), error.message)
    t.throws(() => heap.share(Object.freeze(new Typed({ [key]: value }))), { message })
  }
  t.is(o.u8, 0)
  t.false('list' in root)
  o.any = [1]
  o.any = null
  t.is(snapshot(root.typed).u32, 2 ** 32 - 3)
  t.throws(() => register(class X {}, { fields: { a: 'f16' } }), { message: /field a has a type that does not exist/ })
})

test('what cannot be registered is refused', (t) => {
  const code = 'ERR_COHEAP_INVALID_ARGUMENT'
  register(Account)
  t.throws(() => register(Account, { name: 'Konto' }), { code, message: /already, under the name Account/ })
  t.throws(() => register(class Other {}, { name: 'Account' }), { code, message: /another class/ })
  t.throws(() => register(class {}), { code, message: /without a name/ })
  t.throws(() => register({}), { code })
  t.throws(() => register(undefined), { code })
  t.throws(() => register(() => 0), { code })
  t.throws(() => register(class X {}, { name: 5 }), { code })
  t.throws(() => register(class X {}, { name: 'x'.repeat(256) }), { code })
  for (const Class of [Map, Object, Array, Promise, Error, Date]) t.throws(() => register(Class), { code }, Class.name)
  t.throws(() => register(class MyMap extends Map {}), { code, message: /MyMap extends Map.*registerCodec/ })
  t.throws(() => register(class MyError extends TypeError {}), { code })
})

test('another process reads instances of classes that it registers, and says which are missing', async (t) => {
  const b = await puppet(heap.name)
  root.there = new Savings(1)
  root.in = { list: [new Savings(2)], map: new Map([['k', new Savings(3)]]), frozen: Object.freeze(new Savings(4)) }
  root.in.gone = [new Savings(2)]
  root.in.frozenList = Object.freeze([new Savings(5)])
  const code = 'ERR_COHEAP_UNREGISTERED_CLASS'
  const missing = { code, message: /bank\/Savings is not registered/ }
  await t.throwsAsync(
    b.run(({ root }) => root.there),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => root.there.balance),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => root.in.list[0]),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => root.in.list.at(0)),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => root.in.map.get('k')),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => root.in.frozen),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => [...root.in.list]),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => [...root.in.map.values()]),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root }) => JSON.stringify(root.in)),
    missing,
  )
  t.is(
    await b.run(async ({ root, keep }) => {
      const { inspect } = await import('node:util')
      keep.member = root.in.gone.pop()
      keep.held = root.in.frozenList[0]
      return inspect({ list: root.in.list, map: root.in.map, frozen: root.in })
    }),
    `{
  list: Shared [ [class bank/Savings not registered] ],
  map: SharedMap(1) { 'k' => [class bank/Savings not registered] },
  frozen: Shared {
    list: Shared [ [class bank/Savings not registered] ],
    map: SharedMap(1) { 'k' => [class bank/Savings not registered] },
    frozen: [class bank/Savings not registered],
    gone: Shared [],
    frozenList: [ [class bank/Savings not registered] ]
  }
}`,
  )
  // plain data in a snapshot
  t.deepEqual(await b.run(({ root, snapshot }) => snapshot(root.in.list)), [{ currency: 'EUR', balance: 2, rate: 0.5 }])
  const values = await b.run(({ root, keep, register }) => {
    class Savings {
      double() {
        return (this.balance *= 2)
      }
    }
    register(Savings, { name: 'bank/Savings' })
    const frozen = root.in.frozen
    return [
      root.there.double(),
      root.there instanceof Savings,
      // read before the class was registered
      keep.member.double(),
      keep.member instanceof Savings,
      keep.held.double(),
      root.in.map.get('k').double(),
      [frozen instanceof Savings, frozen.balance, Object.isFrozen(frozen)],
    ]
  })
  t.deepEqual(values, [2, true, 4, true, 10, 6, [true, 4, true]])
  t.is(root.there.balance, 2)
  await b.end()
})

test('a message of an unregistered class is not lost', async (t) => {
  const jobs = heap.channel('unregistered')
  jobs.tryPut(new Savings(1))
  jobs.tryPut(new Savings(2))
  const b = await puppet(heap.name)
  await b.run(async ({ heap, keep }) => {
    keep.one = { message: heap.channel('unregistered').tryTake() }
    keep.two = { message: await heap.channel('unregistered').take() }
  })
  await t.throwsAsync(
    b.run(({ keep }) => keep.one.message.balance),
    { code: 'ERR_COHEAP_UNREGISTERED_CLASS' },
  )
  const sum = b.run(({ keep, register }) => {
    register(class Savings {}, { name: 'bank/Savings' })
    return keep.one.message.balance + keep.two.message.balance
  })
  t.is(await sum, 3)
  await b.end()
})

test('an abandoned class is named by the command line too', async (t) => {
  const child = fork(new URL('../dist/cli/main.js', import.meta.url), ['inspect', heap.name, '$.shown'], {
    silent: true,
  })
  root.shown = { s: new Savings(1), f: Object.freeze(new Account(2)) }
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
  await new Promise((resolve) => child.on('close', resolve))
  t.regex(output, /s: bank\/Savings, 3 keys/)
  t.regex(output, /rate: 0\.5/)
  t.regex(output, /f: frozen Account, 2 keys/)
})
