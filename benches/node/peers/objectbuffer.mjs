// Threads of one process only; used here by one thread, which makes what it reads.
import { createRequire } from 'node:module'

const { createObjectBuffer } = createRequire(import.meta.url)('@bnaya/objectbuffer')

export const about = '@bnaya/objectbuffer: objects in a SharedArrayBuffer, between threads of one process'
export const threads = true
export const alone = true
export const make = () => null
export const shared = () => null
export const join = () => null
const text = { textEncoder: new TextEncoder(), textDecoder: new TextDecoder() }
/** The shared form of a value. */
export const share = (value, bytes = 8 << 20) => createObjectBuffer(text, bytes, { value }, { useSharedArrayBuffer: true }).value
