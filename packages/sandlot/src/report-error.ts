import { CommandError } from '@sandlot/node/host/run'
import { SandlotError } from '@sandlot/protocol'

/** Formats the error of a failed command: one message, and the stack only with DEBUG set. */
export function reportError(error: unknown, env: NodeJS.ProcessEnv = process.env): string {
  if (env.DEBUG) return `sandlot: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
  if (error instanceof SandlotError || error instanceof CommandError) return `sandlot: ${error.message}`
  const message = error instanceof Error ? error.message : String(error)
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC')
    return `sandlot: the disk of the home folder is full (${message}): free some space and start again`
  return `sandlot: unexpected: ${message}\n  DEBUG=1 shows where. \`sandlot doctor\` checks the machine.`
}
