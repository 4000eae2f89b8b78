import { once } from 'node:events'

/** Writes an answer to standard output, and waits for a slow reader. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

export const printJson = (value: unknown): Promise<void> => print(JSON.stringify(value, null, 2))

/** Writes progress and hints to standard error, so that pipes contain only answers. */
export const note = (text: string): void => void process.stderr.write(`${text}\n`)
