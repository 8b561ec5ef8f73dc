// The contract, as a model: plain JavaScript objects behind a Proxy that differs from the language in exactly the ways
// that the README names, each of which can be had by itself. A test that fails on live objects and fails in the same way,
// at the same place, on the model fails because of what is documented; the differences that suffice for it are the
// reason. The model knows nothing of the library. It runs inside of the realm of the test.
'use strict'
// eslint-disable-next-line @typescript-eslint/no-unused-expressions -- it is the value of the script
;(function contract(differences) {
  const on = new Set(differences)
  const { apply, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } = Reflect
  const lives = new WeakSet()
  const keyFor = Symbol.keyFor
  const byValue = new Map([Date, RegExp, Number, String, Boolean, Error].map((Class) => [Class.prototype, Class]))
  for (const Class of [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError]) {
    byValue.set(Class.prototype, Class)
  }
  let made = 0

  // the test sees an ordinary TypeError
  const refuse = (what) => new TypeError(`${what} cannot be stored`)

  /** A value as it is stored: refused, copied in, or as it is. */
  function store(value, all, seen = new Map()) {
    const has = (name) => all || on.has(name)
    if (typeof value === 'function') {
      if (has('functions')) throw refuse('a function')
      return value
    }
    if (typeof value === 'symbol') {
      if (has('symbols') && keyFor(value) === undefined) throw refuse('a symbol')
      return value
    }
    if (typeof value !== 'object' || value === null || lives.has(value)) return value
    if (!has('copies')) return value
    const known = seen.get(value)
    if (known !== undefined) return known
    const prototype = getPrototypeOf(value)
    if (Array.isArray(value) ? prototype === Array.prototype : prototype === Object.prototype || prototype === null) {
      const target = Array.isArray(value) ? new Array(Number(value.length)) : Object.create(prototype)
      const live = wrap(target)
      seen.set(value, live)
      for (const key of ownKeys(value)) {
        const property = getOwnPropertyDescriptor(value, key)
        if (!property.enumerable) continue
        if (typeof key === 'symbol' && keyFor(key) === undefined) throw refuse('a symbol as a key')
        if (property.get !== undefined || property.set !== undefined) throw refuse('an accessor property')
        const member = store(property.value, all, seen)
        defineProperty(target, key, { value: member, writable: true, enumerable: true, configurable: true })
      }
      if (Object.isFrozen(value)) return Object.freeze(target)
      return live
    }
    if (byValue.has(prototype)) return new Copied(value)
    if (ArrayBuffer.isView(value) && !(value instanceof DataView) && prototype === value.constructor.prototype) {
      return new value.constructor(value)
    }
    if (value instanceof RealMap && prototype === RealMap.prototype) return (made++, new $Map(value))
    if (value instanceof RealSet && prototype === RealSet.prototype) return (made++, new $Set(value))
    throw refuse('this kind of object')
  }

  /** A value that is a fresh copy at each read. */
  class Copied {
    constructor(value) {
      this.value = value
    }
  }

  function read(value) {
    if (!(value instanceof Copied)) return value
    const original = value.value
    const Class = byValue.get(getPrototypeOf(original))
    if (Class === RegExp) return new RegExp(original.source, original.flags)
    if (original instanceof Error) return Object.assign(new Class(original.message), original)
    return new Class(Class.prototype.valueOf.call(original))
  }

  const handler = {
    get(target, key, receiver) {
      return read(Reflect.get(target, key, receiver))
    },
    getOwnPropertyDescriptor(target, key) {
      const property = getOwnPropertyDescriptor(target, key)
      if (property !== undefined && 'value' in property) property.value = read(property.value)
      return property
    },
    defineProperty(target, key, descriptor) {
      const isLength = Array.isArray(target) && key === 'length'
      if (('get' in descriptor || 'set' in descriptor) && on.has('accessors') && !isLength) {
        throw refuse('an accessor property')
      }
      const old = getOwnPropertyDescriptor(target, key)
      if (on.has('attributes') && !(isLength && descriptor.writable !== false)) {
        // an array's length is checked for overflow before anything else is
        if (isLength && 'value' in descriptor) new Array(1).length = descriptor.value
        const exists = old !== undefined
        const { writable = exists, enumerable = exists, configurable = exists } = descriptor
        if (!(writable && enumerable && configurable)) return false
      }
      if (typeof key === 'symbol' && keyFor(key) === undefined && on.has('symbols')) {
        throw refuse('a symbol as a key')
      }
      if ('value' in descriptor) {
        const value = Array.isArray(target) && key === 'length' ? descriptor.value : store(descriptor.value, false)
        descriptor = { ...descriptor, value }
      }
      return defineProperty(target, key, descriptor)
    },
    preventExtensions(target) {
      return on.has('extensible') ? false : Reflect.preventExtensions(target)
    },
    setPrototypeOf(target, prototype) {
      if (on.has('prototype')) return prototype === getPrototypeOf(target)
      return Reflect.setPrototypeOf(target, prototype)
    },
  }

  function wrap(target) {
    const live = new Proxy(target, handler)
    lives.add(live)
    return live
  }

  function $live(value) {
    if (typeof value !== 'object' || value === null || lives.has(value)) return value
    let stored
    try {
      stored = store(value, true)
    } catch (error) {
      if (error instanceof TypeError) return value
      throw error
    }
    if (!lives.has(stored)) return value
    made++
    return on.has('copies') || Object.isFrozen(value) ? stored : wrap(value)
  }

  // maps and sets: the language's methods, on a class of its own

  const RealMap = Map
  if (!('getOrInsert' in Map.prototype)) {
    const methods = {
      getOrInsert(key, value) {
        if (!this.has(key)) this.set(key, value)
        return this.get(key)
      },
      getOrInsertComputed(key, compute) {
        if (typeof compute !== 'function') throw new TypeError('no function')
        if (!this.has(key)) this.set(key, store(compute(key === 0 ? 0 : key), false))
        return this.get(key)
      },
    }
    for (const [name, value] of Object.entries(methods)) {
      defineProperty(Map.prototype, name, { value, writable: true, configurable: true })
    }
  }
  const RealSet = Set

  function collection(Real, name) {
    const inner = new WeakMap()
    const ours = Object.create(Object.prototype)
    const own = getOwnPropertyDescriptor
    const of = (self) => {
      const real = inner.get(self)
      if (real === undefined) throw new TypeError('incompatible receiver')
      return real
    }
    for (const key of ownKeys(Real.prototype)) {
      const property = own(Real.prototype, key)
      if (key === Symbol.toStringTag) {
        defineProperty(ours, key, { ...property, value: `Shared${name}` })
        continue
      }
      if (key === 'constructor') continue
      const method = property.value ?? property.get
      const call = {
        method(...args) {
          const real = of(this)
          if (key === 'set' || key === 'getOrInsert') args = args.slice(0, 2).map((v) => store(v, false))
          if (key === 'getOrInsertComputed') store(args[0], false)
          if (key === 'add') args = [store(args[0], false)]
          if (key === 'forEach') {
            const [callback, thisArg] = args
            if (typeof callback !== 'function') throw new TypeError('no function')
            real.forEach((value, k) => apply(callback, thisArg, [value, k, this]))
            return undefined
          }
          const result = apply(method, real, args)
          return result === real ? this : result
        },
      }.method
      defineProperty(call, 'name', { value: method.name, configurable: true })
      defineProperty(call, 'length', { value: method.length, configurable: true })
      defineProperty(ours, key, property.get === undefined ? { ...property, value: call } : { ...property, get: call })
    }
    // one function under two names stays one
    if (name === 'Map') defineProperty(ours, Symbol.iterator, own(ours, 'entries'))
    else for (const key of ['keys', Symbol.iterator]) defineProperty(ours, key, own(ours, 'values'))
    const Stand = {
      [name]: function (iterable) {
        if (new.target !== Stand) throw new TypeError('Illegal constructor')
        made++
        inner.set(
          this,
          name === 'Map' ? copied(new Real(iterable)) : new Real([...new Real(iterable)].map((v) => store(v, false))),
        )
      },
    }[name]
    const copied = (map) => new Real([...map].map(([k, v]) => [store(k, false), store(v, false)]))
    Stand.prototype = ours
    Object.setPrototypeOf(Stand, Real)
    const isModel = Function.prototype[Symbol.hasInstance]
    defineProperty(Stand, Symbol.hasInstance, {
      value: (value) => value instanceof Real || isModel.call(Stand, value),
    })
    defineProperty(ours, 'constructor', { value: Stand, writable: true, configurable: true })
    return Stand
  }

  const $Map = collection(Map, 'Map')
  const $Set = collection(Set, 'Set')
  return { $live, $Map, $Set, made: () => made }
})
