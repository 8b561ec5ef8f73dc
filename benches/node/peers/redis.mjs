import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

if (spawnSync('redis-server', ['--version']).status !== 0) throw new Error('there is no redis-server')

export const about = 'ioredis and redis-server on a Unix socket, one command after the other'
export const connect = (dir) => ({ dir, client: new Redis(path(dir, 'socket'), { maxRetriesPerRequest: 1 }) })
export async function make() {
  const dir = mkdtempSync(path(tmpdir(), 'bench-redis-'))
  const server = spawn('redis-server', ['--port', '0', '--unixsocket', path(dir, 'socket'), '--save', '', '--appendonly', 'no', '--dir', dir])
  while (!existsSync(path(dir, 'socket'))) {
    if (server.exitCode !== null) throw new Error('redis-server has not come up')
    await sleep(10)
  }
  return { ...connect(dir), server }
}
export const shared = (store) => store.dir
export const join = connect
export const leave = (store) => store.client.quit()
export async function unmake(store) {
  store.client.disconnect()
  store.server.kill()
  await once(store.server, 'exit')
  rmSync(store.dir, { recursive: true, force: true })
}
