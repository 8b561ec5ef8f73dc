#!/usr/bin/env node
/**
 * The command `coheap`: what heaps there are, what is in one, whether it is sound, and removing one. It ends with 0,
 * with 1 if `check` has found violations, with 2 if the command could not be done (one line on standard error, which
 * begins with the code).
 */
import { readFileSync } from 'node:fs'
import Table from 'cli-table3'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { CoheapError, fail } from '../errors.js'
import { standInForClasses } from '../classes.js'
import { Heap, type HeapInfo } from '../heap.js'
import { ago, size } from './figures.js'
import { follow, steps } from './path.js'
import { tree } from './tree.js'

const VIOLATIONS = 1
const FAILED = 2

interface Where {
  dir?: string
}

function print(text: string): void {
  process.stdout.write(text + '\n')
}

function table(head: string[], rows: (string | number)[][]): string {
  const plain = { head: [], border: [], compact: true }
  const bare = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '' }
  const inner = { 'bottom-left': '', 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '' }
  const lines = new Table({
    head,
    style: { ...plain, 'padding-left': 0, 'padding-right': 2 },
    chars: { ...bare, ...inner, right: '', 'right-mid': '', middle: '' },
  })
  lines.push(...rows)
  return lines
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

function infoOf(name: string, where: Where): HeapInfo | undefined {
  return Heap.list(where).find((info) => info.name === name)
}

/** Opens a heap for the time that `use` takes. */
function withHeap<T>(name: string, where: Where, use: (heap: Heap) => T): T {
  let heap: Heap
  try {
    heap = Heap.open(name, where)
  } catch (error) {
    if (error instanceof CoheapError && error.code === 'ERR_COHEAP_NOT_FOUND') {
      if (infoOf(name, where)?.stale === true) {
        throw fail(error.code, `${name} is stale: all its users have died, and it cannot be opened. Remove it with: rm`)
      }
      throw fail(error.code, `there is no heap of the name ${name}`)
    }
    throw error
  }
  try {
    return use(heap)
  } finally {
    heap.close()
  }
}

function ls(where: Where): void {
  const heaps = Heap.list(where).sort((a, b) => (a.name < b.name ? -1 : 1))
  const rows = heaps.map((h) => [h.name, size(h.size), h.pids.join(' '), h.stale ? 'stale' : '', ago(h.createdAt)])
  print(rows.length === 0 ? 'no heaps' : table(['name', 'size', 'pids', 'stale', 'age'], rows))
}

function inspect(name: string, path: string | undefined, options: Where & { depth: number; most: number }): void {
  const way = steps(path ?? '$')
  standInForClasses()
  const { dir, ...limits } = options
  withHeap(name, dir === undefined ? {} : { dir }, (heap) => {
    const value = follow(heap.root as unknown, way)
    const { used, committed, capacity, objects, participants } = heap.stats()
    // this command has joined too
    const others = participants - 1
    print(`${name}: ${objects} objects, ${size(used)} used, ${size(committed)} committed of ${size(capacity)}`)
    print(`used by ${others} ${others === 1 ? 'thread' : 'threads'}\n`)
    for (const line of tree(value, path ?? '$', limits)) print(line)
  })
}

function check(name: string, where: Where): void {
  const found = withHeap(name, where, (heap) => heap.verify())
  if (found.length === 0) {
    print(`${name}: no violations`)
    return
  }
  print(
    table(
      ['offset', 'violation'],
      found.map(({ at, what }) => [`0x${at.toString(16)}`, what]),
    ),
  )
  print(`${name}: ${found.length} ${found.length === 1 ? 'violation' : 'violations'}`)
  process.exitCode = VIOLATIONS
}

function rm(name: string, { force, ...where }: Where & { force?: boolean }): void {
  const info = infoOf(name, where)
  if (info !== undefined && !info.stale && info.pids.length > 0 && force !== true) {
    throw fail(
      'ERR_COHEAP_EXISTS',
      `${name} is in use by ${info.pids.join(', ')}: --force removes its name all the same`,
    )
  }
  if (!Heap.unlink(name, where)) throw fail('ERR_COHEAP_NOT_FOUND', `there is no heap of the name ${name}`)
}

function count(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

function program(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const top = new Command('coheap')
    .description('Looks at the heaps that processes of this machine share.')
    .version(version)
    .exitOverride()
    // the message is printed with its code, below
    .configureOutput({ writeErr: () => undefined })
  const command = (usage: string, text: string) =>
    top.command(usage).description(text).option('--dir <folder>', 'the folder that holds the segments')
  command('ls', 'List all heaps: name, size, pids, stale ones, age.').action(ls)
  command('inspect <name> [path]', 'Show values as a tree; a path is as in $.jobs[3].get("key")["odd key"].')
    .option('--depth <n>', 'levels to show', count, 4)
    .option('--most <n>', 'members to show of each', count, 100)
    .action(inspect)
  command('check <name>', 'Walk the whole segment; exit code 0: sound, 1: violations, 2: it cannot be opened.').action(
    check,
  )
  command('rm <name>', 'Remove a heap that nobody uses.')
    .option('--force', 'remove the name of one in use: it lives until its last user leaves')
    .action(rm)
  return top
}

/** What went wrong, on one line: nobody who mistypes a name needs a stack. */
function report(error: unknown): void {
  if (error instanceof CommanderError) {
    // help and version end this way too
    if (error.exitCode === 0) return
    const text = error.code === 'commander.help' ? 'a command is needed: see --help' : error.message
    process.stderr.write(`ERR_COHEAP_INVALID_ARGUMENT: ${text.replace(/^error: /, '')}\n`)
  } else if (error instanceof CoheapError) process.stderr.write(`${error.code}: ${error.message}\n`)
  else throw error
  process.exitCode = FAILED
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `coheap ls | head`
  if (error.code !== 'EPIPE') throw error
})
try {
  program().parse()
} catch (error) {
  report(error)
}
