// The public types: what compiles, and what must not (`@ts-expect-error`).
import { EventEmitter } from 'node:events'
import { expectTypeOf } from 'expect-type'
import {
  Channel,
  CoheapError,
  CoheapRangeError,
  CoheapTypeError,
  Heap,
  SharedMap,
  SharedSet,
  Transaction,
  isShared,
  register,
  registerCodec,
  retry,
  snapshot,
  struct,
  type ErrorCode,
  type HeapInfo,
  type FieldType,
  type Plain,
  type Ref,
  type Shared,
} from 'coheap'

interface Account {
  id: number
  owner?: string
  tags: Set<string>
}
interface Root {
  accounts: SharedMap<string, Account>
  list: number[]
  bytes: Float64Array
}

const heap = Heap.create<Root>('name', { maxSize: '64MiB', persist: false, mode: 0o600 })
expectTypeOf(heap).toExtend<EventEmitter>()
expectTypeOf(heap.root).toEqualTypeOf<Root>()
expectTypeOf(heap.name).toEqualTypeOf<string>()
expectTypeOf(Heap.open('x').root).toBeAny()
expectTypeOf(Heap.connect<Root>('x', { timeout: 5, dir: '/tmp' })).toEqualTypeOf<Promise<Heap<Root>>>()
expectTypeOf(Heap.list()).toEqualTypeOf<HeapInfo[]>()
expectTypeOf(Heap.unlink('x')).toEqualTypeOf<boolean>()
// @ts-expect-error: a size is a number or a string
Heap.create('x', { maxSize: true })
// @ts-expect-error: it cannot be constructed by users
new Heap()
// @ts-expect-error: the root cannot be replaced
heap.root = {}

// what comes back live
const shared = heap.share({
  n: 1,
  when: new Date(),
  map: new Map([['k', new Set([1])]]),
  list: [new Map<string, Account>()],
})
expectTypeOf(shared.n).toEqualTypeOf<number>()
expectTypeOf(shared.when).toEqualTypeOf<Date>()
expectTypeOf(shared.map).toEqualTypeOf<SharedMap<string, SharedSet<number>>>()
expectTypeOf(shared.list[0]!.get('x')!.tags).toEqualTypeOf<SharedSet<string>>()
expectTypeOf(heap.share(5)).toEqualTypeOf<number>()
expectTypeOf<Shared<any>>().toBeAny()
expectTypeOf<Shared<unknown>>().toEqualTypeOf<unknown>()
expectTypeOf<Shared<[Map<1, 2>, string]>>().toEqualTypeOf<[SharedMap<1, 2>, string]>()
expectTypeOf<Shared<Account>['owner']>().toEqualTypeOf<string | undefined>()
expectTypeOf<Shared<SharedMap<string, number>>>().toEqualTypeOf<SharedMap<string, number>>()
expectTypeOf<Shared<Buffer | Float64Array | ArrayBuffer>>().toEqualTypeOf<Buffer | Float64Array | ArrayBuffer>()

// and plain again
expectTypeOf(snapshot(shared.map)).toEqualTypeOf<Map<string, Set<number>>>()
expectTypeOf<Plain<Shared<{ a: Map<string, number> }>>>().toEqualTypeOf<{ a: Map<string, number> }>()
expectTypeOf(snapshot(5 as number)).toEqualTypeOf<number>()
expectTypeOf(isShared(1)).toEqualTypeOf<boolean>()

// collections
declare const map: SharedMap<string, number>
expectTypeOf(map.get('k')).toEqualTypeOf<number | undefined>()
expectTypeOf(map.set('k', 1)).toEqualTypeOf<SharedMap<string, number>>()
expectTypeOf(map.getOrInsert('k', 1)).toEqualTypeOf<number>()
expectTypeOf([...map]).toEqualTypeOf<[string, number][]>()
// @ts-expect-error: the key is a string
map.get(1)
// @ts-expect-error: it cannot be constructed
new SharedMap()
declare const set: SharedSet<number>
expectTypeOf(set.union(new Set(['a']))).toEqualTypeOf<Set<number | string>>()
expectTypeOf([...set]).toEqualTypeOf<number[]>()

// bytes
expectTypeOf(heap.alloc(Float64Array, 5)).toExtend<Float64Array>()
// @ts-expect-error: not a typed array
heap.alloc(Array, 5)

// transactions
expectTypeOf(heap.transaction(() => 5, { maxRetries: 3, reserveReads: true })).toEqualTypeOf<number>()
expectTypeOf(heap.transactionAsync(() => 'x', { ref: false })).toEqualTypeOf<Promise<string>>()
expectTypeOf(heap.begin({ maxHold: 5 })).toEqualTypeOf<Transaction>()
expectTypeOf(heap.begin().run(() => 1)).toEqualTypeOf<number>()
expectTypeOf(retry).returns.toEqualTypeOf<never>()

// channels
const jobs = heap.channel<{ id: number; tags: Set<string> }>('jobs', { capacity: 5, order: 'lifo' })
expectTypeOf(jobs).toEqualTypeOf<Channel<{ id: number; tags: Set<string> }>>()
expectTypeOf(jobs.tryPut({ id: 1, tags: new Set() })!.tags).toEqualTypeOf<SharedSet<string>>()
expectTypeOf(jobs.take({ timeout: 5 })).resolves.toHaveProperty('id')
expectTypeOf(jobs.takeMany(5)).items.toHaveProperty('tags')
// @ts-expect-error: another message
jobs.tryPut({ id: 'x' })
// @ts-expect-error: an order is fifo or lifo
heap.channel('x', { order: 'random' })

// errors
const error: unknown = undefined
if (error instanceof CoheapError) expectTypeOf(error.code).toEqualTypeOf<ErrorCode>()
expectTypeOf<CoheapTypeError>().toExtend<TypeError>()
expectTypeOf<CoheapRangeError>().toExtend<RangeError>()
// @ts-expect-error: no such code
const code: ErrorCode = 'ERR_COHEAP_NONSENSE'

// classes and codecs
class Person {
  #secret = 1
  name = ''
  friends = new Map<string, Person>()
  constructor(name: string) {
    this.name = name
  }
  get upper(): string {
    return this.name.toUpperCase()
  }
  greet(other: Person): number {
    return this.#secret + other.#secret
  }
}
abstract class Abstract {
  x = 1
}
register(Person)
register(Abstract)
register(Person, { name: 'person', fields: { name: 'string' } })
expectTypeOf<'f64' | 'any'>().toExtend<FieldType>()
// @ts-expect-error: no such type
register(Person, { fields: { name: 'f16' } })
// @ts-expect-error: a class, not an instance
register(new Person('a'))
class Money {
  #cents = 1n
  plus(other: Money): bigint {
    return this.#cents + other.#cents
  }
}
declare module 'coheap' {
  interface CodecTypes {
    money: Money
  }
}
registerCodec(Money, { name: 'money', encode: () => 1n, decode: () => new Money() })
expectTypeOf(heap.share({ price: new Money(), map: new Map([['k', new Money()]]) })).toEqualTypeOf<{
  price: Money
  map: SharedMap<string, Money>
}>()
expectTypeOf(snapshot(heap.share({ price: new Money() }))).toEqualTypeOf<{ price: Money }>()
const person = heap.share(new Person('Ada'))
expectTypeOf(person.name).toEqualTypeOf<string>()
expectTypeOf(person.upper).toEqualTypeOf<string>()
expectTypeOf(person.friends.get('b')!.name).toEqualTypeOf<string>()
expectTypeOf(person.greet).toEqualTypeOf<(other: Person) => number>()
registerCodec(Person, {
  name: 'Person',
  encode: (p) => {
    expectTypeOf(p).toEqualTypeOf<Person>()
    return [p.name] as const
  },
  decode: (stored) => {
    expectTypeOf(stored).toEqualTypeOf<readonly [string]>()
    return new Person(stored[0])
  },
})
// @ts-expect-error: decode must give an instance
registerCodec(Person, { name: 'Person', encode: (p) => p.name, decode: (s: string) => s })

// structs
const Point = struct('Point', { x: 'f64', hits: 'i32', ok: 'bool', id: 'u64', label: 'string', next: 'any' })
const point = heap.share(new Point({ x: 1, label: 'a' }))
expectTypeOf(point.x).toEqualTypeOf<number>()
expectTypeOf(point.ok).toEqualTypeOf<boolean>()
expectTypeOf(point.id).toEqualTypeOf<bigint>()
expectTypeOf(point.label).toEqualTypeOf<string>()
expectTypeOf(point.next).toBeAny()
expectTypeOf(new Point()).toEqualTypeOf<{
  x: number
  hits: number
  ok: boolean
  id: bigint
  label: string
  next: any
}>()
expectTypeOf(snapshot(point).id).toEqualTypeOf<bigint>()
if (error instanceof Point) expectTypeOf(error.hits).toEqualTypeOf<number>()
point.hits = 5
// @ts-expect-error: a number
point.hits = 'many'
// @ts-expect-error: no such field
point.foo = 1
// @ts-expect-error: no such field
new Point({ foo: 1 })
// @ts-expect-error: a bigint
new Point({ id: 1 })
// @ts-expect-error: no such type
struct('Bad', { x: 'double' })
class Vector extends struct('Vector', { x: 'f64', y: 'f64' }) {
  get length(): number {
    return Math.hypot(this.x, this.y)
  }
}
register(Vector)
expectTypeOf(heap.share(new Vector({ x: 1 })).length).toEqualTypeOf<number>()

// destroy, ref, deref
expectTypeOf(heap.ref(shared)).toEqualTypeOf<Ref>()
expectTypeOf(heap.deref<Account>(heap.ref(shared))).toEqualTypeOf<Account>()
expectTypeOf(heap.deref(heap.ref(shared))).toEqualTypeOf<unknown>()
heap.destroy(shared)
// @ts-expect-error: a primitive is no object
heap.destroy(5)
