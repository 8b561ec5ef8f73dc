// No peer: what the machine can do.
export const about = 'copying from one buffer to another in one thread'
export const reference = true
export const alone = true
export const make = () => null
export const shared = () => null
export const join = () => null
