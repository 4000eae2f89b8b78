import { type ChildProcess, spawn } from 'node:child_process'

/**
 * Starts a program that reports for as long as this process lives. The kernel kills the program when this process dies,
 * even by SIGKILL: a program that has nothing to report would never notice.
 */
export const startCompanion = (command: string, args: readonly string[]): ChildProcess =>
  // detached, because Ctrl-C must only reach the server, which drains first
  spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  })
