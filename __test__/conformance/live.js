// The same names as contract.js gives, with live objects of a heap behind them. Runs inside of the realm of the test.
'use strict'
// eslint-disable-next-line @typescript-eslint/no-unused-expressions -- it is the value of the script
;(function live(heap, { SharedMap, SharedSet, CoheapError, CoheapTypeError, CoheapRangeError, isShared }) {
  // they are a TypeError and a RangeError; assert.throws asks for the very constructor
  CoheapTypeError.prototype.constructor = TypeError
  CoheapRangeError.prototype.constructor = RangeError

  let made = 0
  /** The live version of a value; what cannot be stored stays what it is. */
  function $live(value) {
    if (typeof value !== 'object' || value === null || isShared(value)) return value
    let shared
    try {
      shared = heap.share(value)
    } catch (error) {
      if (error instanceof CoheapError && error.code === 'ERR_COHEAP_UNSUPPORTED_TYPE') return value
      throw error
    }
    if (!isShared(shared)) return value
    made++
    return shared
  }

  /** What stands for `Map` and `Set`: `new` makes one and stores it. */
  function collection(Real, Shared, name) {
    const Stand = {
      [name]: function (iterable) {
        if (new.target !== Stand) throw new TypeError('Illegal constructor')
        made++
        return heap.share(new Real(iterable))
      },
    }[name]
    Stand.prototype = Shared.prototype
    Object.setPrototypeOf(Stand, Real)
    // what the set algebra gives is a plain Set
    const isLive = Function.prototype[Symbol.hasInstance]
    Object.defineProperty(Stand, Symbol.hasInstance, {
      value: (value) => value instanceof Real || isLive.call(Stand, value),
    })
    return Stand
  }

  return {
    $live,
    $Map: collection(Map, SharedMap, 'Map'),
    $Set: collection(Set, SharedSet, 'Set'),
    made: () => made,
  }
})
