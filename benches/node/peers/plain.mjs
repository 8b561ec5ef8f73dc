// No peer: nobody else sees these objects. What the language itself costs.
export const about = 'ordinary objects of one thread'
export const reference = true
export const alone = true
export const make = () => null
export const shared = () => null
export const join = () => null
