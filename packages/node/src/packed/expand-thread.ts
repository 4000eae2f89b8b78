import { parentPort, workerData } from 'node:worker_threads'
import { SandlotError } from '@sandlot/protocol'
import { expandFolder } from './expand-folder.ts'
import type { PackedCheckpoint } from './manifest.ts'

export interface ExpandRequest {
  request: number
  checkpoint: PackedCheckpoint
  targetDir: string
}

export interface ExpandAnswer {
  request: number
  failure?: { errorName: SandlotError['errorName']; message: string }
}

const { storeDir } = workerData as { storeDir: string }

parentPort!.on('message', async ({ request, checkpoint, targetDir }: ExpandRequest) => {
  const answer: ExpandAnswer = { request }
  try {
    await expandFolder(storeDir, checkpoint, targetDir)
  } catch (error) {
    const errorName = error instanceof SandlotError ? error.errorName : 'internal_server_error'
    answer.failure = { errorName, message: (error as Error).message }
  }
  parentPort!.postMessage(answer)
})
