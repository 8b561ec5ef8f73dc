// One process of one case on one peer.
import { once } from 'node:events'

const { default: peer } = await import(`./peers/${process.argv[2]}.mjs`)
const [{ test, seconds, shared }] = await once(process, 'message')
const run = await peer.cases[test]({ role: process.env.ROLE, id: Number(process.env.ID), seconds, shared })
process.send('ready')
await once(process, 'message')
process.send(await run())
await once(process, 'message')
await peer.leave?.()
process.disconnect()
