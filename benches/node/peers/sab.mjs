// Threads of one process only.
export const about = 'SharedArrayBuffer with Atomics, between threads of one process'
export const threads = true
export const alone = true
export const make = () => null
export const shared = () => null
export const join = () => null
