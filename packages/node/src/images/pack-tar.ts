import { open } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { DNS_ADDRESS } from '../network/dns-address.ts'
import { explainFailure } from './explain-failure.ts'
import { type FileLimits, ImageFile } from './image-file.ts'
import type { ImageName } from './image-name.ts'
import { type FinishedImage, ImageRefusal, readFinished } from './imager-answers.ts'
import { runJailed } from './jail.ts'

const TIMEOUT_MS = 30 * 60_000

/**
 * Makes an image from an administrator's local tar. The program that reads the tar runs in a jail instead of a machine,
 * because there may be no server to start a machine, and the file does not come from a team.
 * @throws SandlotError
 */
export async function packTar(
  imagerPath: string,
  tar: string,
  name: ImageName,
  file: string,
  limits: FileLimits,
): Promise<FinishedImage> {
  const stdin = await open(tar)
  const stdout = await ImageFile.create(file)
  const args = ['tar', '-max-bytes', String(limits.maxBytes), '-resolver', DNS_ADDRESS]
  try {
    const finished = readFinished(await runJailed(imagerPath, args, { stdin, stdout, timeoutMs: TIMEOUT_MS }))
    await stdout.finish(finished.sizeBytes, limits)
    return finished
  } catch (error) {
    if (error instanceof ImageRefusal) throw explainFailure(name, error.failure, false)
    if (error instanceof SandlotError) throw error
    throw new SandlotError('invalid_request', `${tar} cannot be read: ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    await stdout.close()
    await stdin.close()
  }
}
