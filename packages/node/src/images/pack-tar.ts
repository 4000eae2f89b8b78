import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { SandlotError } from '@sandlot/protocol'
import { DNS_ADDRESS } from '../firewall.ts'
import { explainFailure } from './explain-failure.ts'
import type { ImageName } from './image-name.ts'
import {
  type FinishedImage,
  HEAD_BYTES,
  ImageRefusal,
  MAX_ANSWER_BYTES,
  readFinished,
} from './imager-answers.ts'
import { type FileLimits, ReceivedFile } from './receive-file.ts'

const TIMEOUT_MS = 30 * 60_000
/** `nobody`, on every distribution. */
const NOBODY = '65534'
/** Namespaces without network and without other processes; no user, no groups, no capability, no way to get one. */
const JAIL = [
  ...['unshare', '--net', '--ipc', '--uts', '--mount', '--pid', '--fork', '--kill-child'],
  ...['setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', '--no-new-privs'],
  ...['--inh-caps=-all', '--bounding-set=-all'],
] as const

/**
 * Makes an image of a tar that an administrator has on this machine. There may be no server that could start a machine,
 * and the file is no tenant's: the program that reads it is jailed, and has the file only as a stream.
 * @throws SandlotError
 */
export async function packTar(
  imagerPath: string,
  tar: string,
  name: ImageName,
  file: string,
  limits: FileLimits,
): Promise<FinishedImage> {
  const source = await open(tar)
  const received = await ReceivedFile.create(file, HEAD_BYTES, limits)
  const [program, ...jail] = JAIL
  const order = ['tar', '-max-bytes', String(limits.maxBytes), '-resolver', DNS_ADDRESS]
  const child = spawn(program, [...jail, imagerPath, ...order], {
    ...{ cwd: '/', env: { PATH: process.env.PATH }, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' },
    stdio: [source.fd, 'pipe', 'pipe', 'pipe'],
  })
  try {
    const ended = once(child, 'close') as Promise<[number | null]>
    const answer = readSome(child.stdio[3] as Readable, MAX_ANSWER_BYTES)
    const words = readSome(child.stderr!, MAX_ANSWER_BYTES)
    for await (const chunk of child.stdout!) await received.add(chunk as Buffer)
    const [code] = await ended
    if (code !== 0)
      throw new SandlotError(
        'invalid_request',
        `the program that reads ${tar} ended with ${code}: ${(await words).slice(0, 500)}`,
      )
    const finished = readFinished(JSON.parse(await answer))
    await received.finish(finished.head)
    return finished
  } catch (error) {
    if (error instanceof ImageRefusal) throw explainFailure(name, error.failure, false)
    throw error
  } finally {
    child.kill('SIGKILL')
    await received.close()
    await source.close()
  }
}

async function readSome(stream: Readable, maxBytes: number): Promise<string> {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) if (text.length < maxBytes) text += chunk
  return text
}
