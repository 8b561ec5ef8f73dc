export const about = "process.send, with the advanced serialisation"
export const alone = true
export const make = () => null
export const shared = () => null
export const join = () => null
