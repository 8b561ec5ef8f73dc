// A Unix socket. The last of the two roles listens.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const about = 'a Unix socket with lines of JSON'
export const make = () => mkdtempSync(path(tmpdir(), 'bench-socket-'))
export const shared = (dir) => dir
export const join = (dir) => dir
export const unmake = (dir) => rmSync(dir, { recursive: true, force: true })

/** Listens; gives a promise of the other side's socket. */
export async function listen(dir) {
  const server = createServer().listen(path(dir, 'socket'))
  await once(server, 'listening')
  const connection = once(server, 'connection')
  return async () => {
    const [socket] = await connection
    server.close()
    return socket
  }
}

/** The socket of who connects, as soon as there is somebody to connect to. */
export async function dial(dir) {
  for (;;) {
    const socket = connect(path(dir, 'socket'))
    if (await once(socket, 'connect').then(() => true, () => false)) return socket
    await sleep(5)
  }
}
