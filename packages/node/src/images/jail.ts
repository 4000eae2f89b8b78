import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, setPriority } from 'node:os'
import type { Readable } from 'node:stream'
import { MAX_ANSWER_BYTES } from './imager-answers.ts'

/** The user `nobody` on every distribution. */
const NOBODY = '65534'
/** Runs a command in namespaces without network and other processes, without groups and capabilities, and no way to gain any. */
const JAIL = [
  'unshare',
  '--net',
  '--ipc',
  '--uts',
  '--mount',
  '--pid',
  '--fork',
  '--kill-child',
  'setpriv',
  '--reuid',
  NOBODY,
  '--regid',
  NOBODY,
  '--clear-groups',
  '--no-new-privs',
  '--inh-caps=-all',
  '--bounding-set=-all',
] as const

export interface JailOptions {
  /** The only input of the program, which cannot open files. */
  stdin: { fd: number }
  stdout?: { fd: number }
  timeoutMs: number
}

/** Error for a jailed program that was killed by a limit of time or memory. */
export class JailExceeded extends Error {}

/**
 * Runs guest/imager on the host, for callers without a machine. Before the program reads anything, it limits its own time
 * and memory, and with seccomp denies itself all system calls except reading and writing.
 * @returns the JSON that the program wrote to descriptor 3
 * @throws JailExceeded; Error with the text on standard error
 */
export async function runJailed(
  imagerPath: string,
  args: readonly string[],
  { stdin, stdout, timeoutMs }: JailOptions,
): Promise<unknown> {
  const [program, ...jail] = JAIL
  const child = spawn(program, [...jail, imagerPath, ...args], {
    cwd: '/',
    env: { PATH: process.env.PATH },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    stdio: [stdin.fd, stdout?.fd ?? 'ignore', 'pipe', 'pipe'],
  })
  try {
    lowerPriority(child)
    const ended = once(child, 'close') as Promise<[number | null]>
    const answer = readSome(child.stdio[3] as Readable)
    const words = readSome(child.stderr!)
    const [code] = await ended
    if (code === null || code > 128) throw new JailExceeded(`${args[0]} was killed`)
    if (code !== 0) throw new Error(`imager ${args[0]} ended with ${code}: ${(await words).slice(0, 500)}`)
    return JSON.parse(await answer)
  } finally {
    child.kill('SIGKILL')
  }
}

function lowerPriority({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // the process has already exited
  }
}

async function readSome(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) if (text.length < MAX_ANSWER_BYTES) text += chunk
  return text
}
