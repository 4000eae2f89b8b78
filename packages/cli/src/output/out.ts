import { once } from 'node:events'

/** Writes an answer to standard output and waits while a slow reader has not taken it. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

export const printJson = (value: unknown): Promise<void> => print(JSON.stringify(value, null, 2))

/** What accompanies an answer (progress, hints) goes to standard error, so that pipes stay clean. */
export const note = (text: string): void => void process.stderr.write(`${text}\n`)
