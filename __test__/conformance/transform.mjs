// A test's source with live containers in place of plain ones: every array and object literal, `new Array`, `Object()`
// and their like go through $live, `Map` and `Set` are the stand-ins $Map and $Set. What cannot be live ($live says so
// at run time: a literal that holds a function, say) stays what it is.
import { parse } from 'acorn'
import { ancestor } from 'acorn-walk'
import MagicString from 'magic-string'

/** Calls whose literals say what is expected, or describe: they are not what is tested. */
const HELPERS = /^(?:assert|compareArray|verify|allowProxyTraps|testWith|\$262|Test262Error)/

/** Functions of Object and Reflect, and which of their arguments is a descriptor. */
const DESCRIPTORS = { defineProperty: 2 }

/**
 * @param {string} text a script
 * @returns {string} the same with $live, $Map and $Set in it
 * @throws SyntaxError
 */
export function transform(text) {
  const tree = parse(text, { ecmaVersion: 'latest', sourceType: 'script', allowHashBang: true })
  const out = new MagicString(text)
  const wrap = (node) => {
    out.appendLeft(node.start, '$live(')
    out.prependRight(node.end, ')')
  }
  const borrowed = borrowedMethods(tree, out)
  const literal = (node, _state, ancestors) => {
    if (!isExpected(node, ancestors)) wrap(node)
  }
  const making = (node, _state, ancestors) => {
    if (makesContainer(node)) literal(node, _state, ancestors)
  }
  ancestor(tree, {
    ArrayExpression: literal,
    ObjectExpression: literal,
    NewExpression: making,
    CallExpression(node, state, ancestors) {
      making(node, state, ancestors)
      const method = borrowedCall(node, borrowed)
      if (method !== undefined) callBorrowed(node, method, out)
    },
    Identifier(node, _state, ancestors) {
      if (node.name !== 'Map' && node.name !== 'Set') return
      const parent = ancestors.at(-2)
      if (parent?.type === 'Property' && parent.shorthand) return
      out.update(node.start, node.end, `$${node.name}`)
    },
  })
  return out.toString()
}

function calleeOf(node) {
  const { callee } = node
  if (callee.type === 'Identifier') return callee.name
  if (callee.type === 'MemberExpression' && !callee.computed && callee.object.type === 'Identifier') {
    return `${callee.object.name}.${callee.property.name}`
  }
  return ''
}

/** A literal that is an argument of an assertion, or a property descriptor. */
function isExpected(node, ancestors) {
  const parent = ancestors.at(-2)
  if (parent?.type !== 'CallExpression' && parent?.type !== 'NewExpression') return false
  const at = parent.arguments.indexOf(node)
  if (at < 0) return false
  const name = calleeOf(parent)
  if (HELPERS.test(name)) return at > 0 || !/^verify/.test(name)
  const [object, method] = name.split('.')
  return (object === 'Object' || object === 'Reflect') && DESCRIPTORS[method] === at
}

/** `new Array(3)`, `Array(1, 2)`, `Array.of()`, `new Object`, `Object()`, `Object.create(null)`, `JSON.parse(text)`. */
function makesContainer(node) {
  const name = calleeOf(node)
  if (name === 'Array' || name === 'Object') return true
  if (name === 'Object.create') {
    const prototype = node.arguments[0]
    return node.arguments.length === 1 && prototype?.type === 'Literal' && prototype.value === null
  }
  return /^(?:Array\.(?:of|from)|JSON\.parse|Object\.(?:fromEntries|groupBy))$/.test(name)
}

// `obj.push = Array.prototype.push; obj.push(1)`: a function cannot be stored, but that is not what such a test is
// about. The assignment goes, the call becomes `Array.prototype.push.call(obj, 1)`.

function memberKey(node) {
  return node.type === 'MemberExpression' && !node.computed && node.object.type === 'Identifier'
    ? `${node.object.name}.${node.property.name}`
    : undefined
}

function borrowedMethods(tree, out) {
  const borrowed = new Map()
  ancestor(tree, {
    ExpressionStatement(node) {
      const e = node.expression
      if (e.type !== 'AssignmentExpression' || e.operator !== '=') return
      const key = memberKey(e.left)
      const source = out.original.slice(e.right.start, e.right.end)
      if (key === undefined || !/^(?:Array|Object)\.prototype\.\w+$/.test(source)) return
      if (e.right.property.name !== e.left.property.name) return
      borrowed.set(key, source)
      out.update(node.start, node.end, ';')
    },
  })
  return borrowed
}

function borrowedCall(node, borrowed) {
  const key = memberKey(node.callee)
  return key === undefined ? undefined : borrowed.get(key)
}

function callBorrowed(node, method, out) {
  const { callee } = node
  out.update(callee.start, callee.end, `${method}.call`)
  const open = out.original.indexOf('(', callee.end)
  out.appendRight(open + 1, node.arguments.length === 0 ? callee.object.name : `${callee.object.name}, `)
}
