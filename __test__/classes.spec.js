// Instances of registered classes are live objects with their class's prototype, in every process that registers it.
import test from 'ava'
import { inspect } from 'node:util'
import { Heap, isShared, register, snapshot } from '../dist/index.js'
import { coheap } from './fixtures/command.js'
import { EVERY_TYPE, INVALID, WRONG, forEachWrapped } from './fixtures/fields.js'
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
  register(Typed, { fields: EVERY_TYPE })
  register(Typed, { fields: { ...EVERY_TYPE } })
  t.throws(() => register(Typed, { fields: { f64: 'f32' } }), INVALID)
  t.throws(() => register(Typed), INVALID)
  const all = heap.share(new Typed())
  forEachWrapped((key, value, wrapped) => {
    all[key] = value
    t.is(all[key], wrapped, `${key} ${value}`)
    t.is(heap.share(new Typed({ [key]: value }))[key], wrapped)
  })
  root.typed = new Typed({ u8: -1, u32: -3 })
  t.false('string' in root.typed, 'what is absent stays absent')
  const o = root.typed
  o.other = 'allowed'
  for (const [key, value] of WRONG) {
    const message = new RegExp(`the field ${key} takes a `)
    t.throws(() => (o[key] = value), { ...INVALID, instanceOf: TypeError, message }, key)
    t.throws(
      () => Object.defineProperty(o, key, { value, writable: true, enumerable: true, configurable: true }),
      INVALID,
    )
    const error = t.throws(() => (root.list = [{ a: new Typed({ [key]: value }) }]), { message })
    t.true(error.message.endsWith(`: $[0].a.${key}`), error.message)
    t.throws(() => heap.share(Object.freeze(new Typed({ [key]: value }))), { message })
  }
  t.is(o.u8, 255)
  t.false('list' in root)
  o.any = [1]
  o.any = null
  t.is(snapshot(root.typed).u32, 2 ** 32 - 3)
  t.throws(() => register(class X {}, { fields: { a: 'f16' } }), { message: /field a has a type that does not exist/ })
})

test('what cannot be registered is refused', (t) => {
  register(Account)
  t.throws(() => register(Account, { name: 'Konto' }), { ...INVALID, message: /already, under the name Account/ })
  t.throws(() => register(class Other {}, { name: 'Account' }), { ...INVALID, message: /another class/ })
  t.throws(() => register(class {}), { ...INVALID, message: /without a name/ })
  t.throws(() => register({}), INVALID)
  t.throws(() => register(undefined), INVALID)
  t.throws(() => register(() => 0), INVALID)
  t.throws(() => register(class X {}, { name: 5 }), INVALID)
  t.throws(() => register(class X {}, { name: 'x'.repeat(256) }), INVALID)
  for (const Class of [Map, Object, Array, Promise, Error, Date]) t.throws(() => register(Class), INVALID, Class.name)
  t.throws(() => register(class MyMap extends Map {}), { ...INVALID, message: /MyMap extends Map.*registerCodec/ })
  t.throws(() => register(class MyError extends TypeError {}), INVALID)
})

test('another process reads instances of classes that it registers, and says which are missing', async (t) => {
  const b = await puppet(heap.name)
  root.there = new Savings(1)
  root.in = { list: [new Savings(2)], map: new Map([['k', new Savings(3)]]), frozen: Object.freeze(new Savings(4)) }
  root.in.gone = [new Savings(2)]
  root.in.frozenList = Object.freeze([new Savings(5)])
  const code = 'ERR_COHEAP_UNREGISTERED_CLASS'
  const missing = { code, message: /bank\/Savings is not registered/ }
  for (const read of [
    ({ root }) => root.there,
    ({ root }) => root.there.balance,
    ({ root }) => root.in.list[0],
    ({ root }) => root.in.list.at(0),
    ({ root }) => root.in.map.get('k'),
    ({ root }) => root.in.frozen,
    ({ root }) => [...root.in.list],
    ({ root }) => [...root.in.map.values()],
    ({ root }) => JSON.stringify(root.in),
  ]) {
    await t.throwsAsync(b.run(read), missing, String(read))
  }
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
  root.shown = { s: new Savings(1), f: Object.freeze(new Account(2)) }
  const { stdout } = await coheap('inspect', heap.name, '$.shown')
  t.regex(stdout, /s: bank\/Savings, 3 keys/)
  t.regex(stdout, /rate: 0\.5/)
  t.regex(stdout, /f: frozen Account, 2 keys/)
})
