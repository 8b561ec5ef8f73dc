// Two named pipes, read and written by blocking calls.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'

export const about = 'two pipes with blocking reads and writes'
export function make() {
  const dir = mkdtempSync(path(tmpdir(), 'bench-pipe-'))
  const { status } = spawnSync('mkfifo', [path(dir, 'there'), path(dir, 'back')])
  if (status !== 0) throw new Error('mkfifo has failed')
  return dir
}
export const shared = (dir) => dir
export const join = (dir) => dir
export const unmake = (dir) => rmSync(dir, { recursive: true, force: true })
