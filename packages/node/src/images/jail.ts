import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, setPriority } from 'node:os'
import type { Readable } from 'node:stream'
import { MAX_ANSWER_BYTES } from './imager-answers.ts'

/** `nobody`, on every distribution. */
const NOBODY = '65534'
/** Namespaces without network and without other processes; no user, no groups, no capability, no way to get one. */
const JAIL = [
  ...['unshare', '--net', '--ipc', '--uts', '--mount', '--pid', '--fork', '--kill-child'],
  ...['setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', '--no-new-privs'],
  ...['--inh-caps=-all', '--bounding-set=-all'],
] as const

export interface JailOptions {
  /** All that the program has: it opens nothing. */
  stdin: { fd: number }
  stdout?: { fd: number }
  timeoutMs: number
}

/** A program was killed: by its limits of time and memory, or by our timeout. */
export class JailExceeded extends Error {}

/**
 * Runs guest/imager on the host, where there is no machine for it. It limits its own time and memory, and has seccomp
 * refuse what is not reading and writing, before it reads anything.
 * @returns what it wrote to descriptor 3, as JSON
 * @throws JailExceeded; Error with what it wrote on standard error
 */
export async function runJailed(
  imagerPath: string,
  args: readonly string[],
  { stdin, stdout, timeoutMs }: JailOptions,
): Promise<unknown> {
  const [program, ...jail] = JAIL
  const child = spawn(program, [...jail, imagerPath, ...args], {
    ...{ cwd: '/', env: { PATH: process.env.PATH }, timeout: timeoutMs, killSignal: 'SIGKILL' },
    stdio: [stdin.fd, stdout?.fd ?? 'ignore', 'pipe', 'pipe'],
  })
  try {
    letOthersFirst(child)
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

function letOthersFirst({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // it has ended already
  }
}

async function readSome(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) if (text.length < MAX_ANSWER_BYTES) text += chunk
  return text
}
