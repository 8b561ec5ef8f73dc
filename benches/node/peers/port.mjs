export const about = 'MessagePort, between threads of one process'
export const threads = true
export const alone = true
export const make = () => null
export const shared = () => null
export const join = () => null
