// Which of test262's tests are run, and the differences that no model can tell.

/** What a group covers → folders of `test/`. */
export const GROUPS = {
  'Array.prototype': ['built-ins/Array/prototype'],
  Array: ['built-ins/Array'],
  'iterators of arrays, maps and sets': [
    'built-ins/ArrayIteratorPrototype',
    'built-ins/MapIteratorPrototype',
    'built-ins/SetIteratorPrototype',
  ],
  Map: ['built-ins/Map'],
  Set: ['built-ins/Set'],
  Object: ['built-ins/Object'],
  Reflect: ['built-ins/Reflect'],
  JSON: ['built-ins/JSON'],
  'array and object literals, spread': [
    'language/expressions/array',
    'language/expressions/object',
    'language/expressions/call',
    'language/expressions/new',
    'language/computed-property-names',
  ],
  'destructuring, assignment': [
    'language/expressions/assignment',
    'language/expressions/compound-assignment',
    'language/expressions/logical-assignment',
    'language/destructuring',
    'language/statements/const',
    'language/statements/let',
    'language/statements/variable',
    'language/statements/try',
    'language/statements/for',
    'language/expressions/function',
    'language/expressions/arrow-function',
  ],
  'in, delete, property access': [
    'language/expressions/in',
    'language/expressions/delete',
    'language/expressions/property-accessors',
    'language/expressions/optional-chaining',
    'language/expressions/member-expression',
    'language/expressions/postfix-increment',
    'language/expressions/postfix-decrement',
    'language/expressions/prefix-increment',
    'language/expressions/prefix-decrement',
  ],
  'for-in, for-of': ['language/statements/for-in', 'language/statements/for-of'],
  'functions, generators': [
    'language/statements/function',
    'language/statements/generators',
    'language/expressions/generators',
    'language/expressions/yield',
    'language/rest-parameters',
    'language/expressions/async-arrow-function',
    'language/expressions/async-function',
    'language/statements/async-function',
    'language/expressions/await',
    'built-ins/Function/prototype/apply',
  ],
  'for-await-of': ['language/statements/for-await-of'],
  'with, instanceof, types': [
    'language/statements/with',
    'language/expressions/instanceof',
    'language/expressions/typeof',
    'language/types',
  ],
  'Iterator, Proxy, WeakMap, WeakSet, WeakRef': [
    'built-ins/Iterator',
    'built-ins/Proxy',
    'built-ins/WeakMap',
    'built-ins/WeakSet',
    'built-ins/WeakRef',
  ],
}

/** Tests that are not about anything that a live container has: each with the reason. */
export const EXCLUDED = [
  {
    tests: /^built-ins\/(?:Map|Set)\/(?!valid-|bigint-)(?:[^/]+\.js$|Symbol\.species|groupBy|prototype\/constructor)/,
    reason: 'the constructors Map and Set: a SharedMap or SharedSet is made by storing one',
  },
]

/** Tests whose difference is documented, but which the model of the contract cannot tell: each with the reason. */
export const EXPLAINED = [
  {
    tests: /^built-ins\/Array\/prototype\/(?:entries|keys|values)\/returns-iterator(?:-from-object)?\.js$/,
    reason: "the iterators of live arrays have a prototype of their own, which inherits from the engine's",
  },
  {
    tests: /^built-ins\/Array\/prototype\/(?:push\/S15\.4\.4\.7_A3|sort\/precise-comparefn-throws)\.js$/,
    reason: 'an operation that throws leaves nothing behind, where the language leaves what it had done',
  },
  {
    tests: /^built-ins\/Set\/valid-values\.js$/,
    reason: 'storing copies a plain object in, and refuses kinds that cannot be stored',
  },
]
