// The answering half of peers whose halves start each other: a child process, a worker thread.
import { parentPort, workerData } from 'node:worker_threads'

if (workerData?.cells !== undefined) {
  const { answerWords } = await import('./groups/roundtrips.mjs')
  answerWords(workerData.way, workerData.cells)
} else if (process.argv[2] === 'objects') {
  const { all } = await import('./groups/attach.mjs')
  const objects = all()
  process.on('message', () => process.send(objects))
  process.send('ready')
} else if (parentPort !== null) parentPort.on('message', (m) => parentPort.postMessage(m))
else process.on('message', (m) => process.send(m))
