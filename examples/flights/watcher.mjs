// Watches the totals grow and draws them. It only reads: nobody waits for it and it waits for nobody.
import { setTimeout as sleep } from 'node:timers/promises'
import { Heap } from 'coheap'
import { Presets, SingleBar } from 'cli-progress'

const heap = Heap.open(process.argv[2])
const { progress, totals } = heap.root
const total = Number(process.argv[3])
const bar = new SingleBar(
  {
    format: 'flights {bar} {percentage}% | {value}/{total} | {airports} airports | {memory} MiB shared',
    noTTYOutput: true,
    notTTYSchedule: 1000,
  },
  Presets.shades_classic,
)
const look = () => ({ airports: totals.size, memory: (heap.stats().committed / 2 ** 20).toFixed(0) })
bar.start(total, 0, look())
while (progress.rows < total && !progress.stopped) {
  bar.update(progress.rows, look())
  await sleep(50)
}
bar.update(progress.rows, look())
bar.stop()
heap.close()
