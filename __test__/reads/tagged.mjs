// Values that tell where they belong: each says of which place it is, so that one that was read from elsewhere, or in two
// halves, is known for what it is.

const f64 = new Float64Array(1)
const u32 = new Uint32Array(f64.buffer)
const mixed = (high) => Math.imul(high ^ 0x9e3779b9, 0x85ebca6b) >>> 0

/** A number of place `k` (below 128): its low half is a function of its high half. */
export function numberOf(k, n) {
  u32[1] = 0x40000000 + k * 4096 + (n & 4095)
  u32[0] = mixed(u32[1])
  return f64[0]
}

function isNumberOf(k, x) {
  f64[0] = x
  return u32[1] >>> 12 === 0x40000 + k && u32[0] === mixed(u32[1])
}

const nth = (k, second, i) => (k * 7 + second * 13 + i * 29) & 255

/** A text of place `k`, of up to 5 characters of Latin-1: it stands in the cell itself. */
export function textOf(k, n) {
  const length = n % 6
  const second = (n >>> 3) & 255
  const codes = [128 + k, second]
  for (let i = 2; i < length; i++) codes.push(nth(k, second, i))
  return String.fromCharCode(...codes.slice(0, length))
}

function isTextOf(k, s) {
  if (s.length === 0) return true
  if (s.length > 5) return s.startsWith(`${k} is the place of this longer text `)
  if (s.charCodeAt(0) !== 128 + k) return false
  const second = s.charCodeAt(1)
  for (let i = 2; i < s.length; i++) if (s.charCodeAt(i) !== nth(k, second, i)) return false
  return true
}

/** A value of any kind of place `k`; `children` are live objects. What says nothing of itself is kept apart by parity. */
export function valueOf(k, n, children) {
  switch (n % 8) {
    case 0:
      return k % 2 === 0 ? undefined : null
    case 1:
      return k % 2 === 0
    case 2:
      return `${k} is the place of this longer text ${n}`
    case 3:
      return children[(n >>> 3) % children.length]
    case 4:
    case 5:
      return textOf(k, n >>> 3)
    default:
      return numberOf(k, n >>> 3)
  }
}

/** True for a value that `valueOf(k, …)` can have given; for undefined too where there need be nothing. */
export function belongs(k, value, maybeAbsent) {
  switch (typeof value) {
    case 'number':
      return isNumberOf(k, value)
    case 'string':
      return isTextOf(k, value)
    case 'boolean':
      return value === (k % 2 === 0)
    case 'undefined':
      return maybeAbsent || k % 2 === 0
    case 'object':
      return value === null ? k % 2 === 1 : value.kind === 'child' && Number.isInteger(value.id)
    default:
      return false
  }
}
