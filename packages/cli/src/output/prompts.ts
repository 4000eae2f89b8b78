import * as clack from '@clack/prompts'
import { Failure } from '../failure.ts'

export interface Choice {
  value: string
  label: string
  hint?: string
}

interface Ask {
  initial?: string
  /** Advice for users who cannot be prompted. */
  instead: string
}

export async function choose(message: string, options: Choice[], { initial, instead }: Ask): Promise<string> {
  requireTerminal(message, instead)
  return answered(await clack.select({ message, options, initialValue: initial }))
}

export async function chooseSeveral(message: string, options: Choice[], { instead }: Ask): Promise<string[]> {
  requireTerminal(message, instead)
  return answered(await clack.multiselect({ message, options, required: true }))
}

export async function confirm(message: string, { instead }: Ask): Promise<boolean> {
  requireTerminal(message, instead)
  return answered(await clack.confirm({ message, initialValue: false }))
}

export async function askText(
  message: string,
  { initial, instead, check }: Ask & { check(text: string): void },
): Promise<string> {
  requireTerminal(message, instead)
  const validate = (text = ''): string | undefined => {
    try {
      check(text || (initial ?? ''))
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }
  return answered(await clack.text({ message, placeholder: initial, defaultValue: initial, validate }))
}

/** Asks for text that is not shown while it is typed. */
export async function askHidden(message: string, { instead }: Ask): Promise<string> {
  requireTerminal(message, instead)
  const validate = (text = ''): string | undefined => (text === '' ? 'It cannot be empty.' : undefined)
  return answered(await clack.password({ message, validate }))
}

function requireTerminal(message: string, instead: string): void {
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new Failure(`Cannot ask without a terminal: ${message}? ${instead}`)
}

/** Ends the command on Ctrl-C and Escape, as a signal does. */
function answered<T>(answer: T): Exclude<T, symbol> {
  if (clack.isCancel(answer)) throw new Failure('Cancelled.', { exitCode: 130 })
  return answer as Exclude<T, symbol>
}
