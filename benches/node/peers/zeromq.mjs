import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import * as zmq from 'zeromq'

export { zmq }
export const about = 'zeromq: push and pull over a Unix socket'
export const make = () => mkdtempSync(path(tmpdir(), 'bench-zeromq-'))
export const shared = (dir) => dir
export const join = (dir) => dir
export const unmake = (dir) => rmSync(dir, { recursive: true, force: true })
export const address = (dir) => `ipc://${path(dir, 'socket')}`
