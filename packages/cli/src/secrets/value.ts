import type { Command } from 'commander'
import { Option } from 'commander'
import { Failure } from '../failure.ts'

/** Limit of the server, in bytes of UTF-8. */
const MAX_BYTES = 64 * 1024

/**
 * Lets a command notice a value on its command line, so that it can refuse it with advice. Neither is listed in help.
 */
export const refusingValues = (command: Command): Command =>
  command.allowExcessArguments().addOption(new Option('--value <value>').hideHelp())

/**
 * @param words arguments of the command: only its name is allowed
 * @throws Failure when the value of the secret is on the command line
 */
export function refuseValue(words: readonly string[], { value }: { value?: string }): void {
  if (words.length < 2 && value === undefined) return
  throw new Failure(
    'The value of a secret is not read from the command line, where other users and the history of the shell see it. Pipe it (`printf %s "$KEY" | e2b secret …`), or leave it out to be asked. If it is a real key, replace it now.',
  )
}

/**
 * Reads the value of a secret: from a pipe or file without the line break at its end, or typed by the user, who does not
 * see it.
 * @throws Failure when it is empty, too large or no text
 */
export async function readValue(name: string): Promise<string> {
  if (process.stdin.isTTY) {
    const { askHidden } = await import('../output/prompts.ts')
    return askHidden(`Value of ${name}`, { instead: 'Pipe it into this command.' })
  }
  const value = decode(await readAll(process.stdin)).replace(/\r?\n$/, '')
  if (value === '') throw new Failure(`The value of ${name} is empty: nothing came from standard input.`)
  return value
}

async function readAll(input: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of input) {
    length += chunk.length
    // a line break at the end is not part of the value
    if (length > MAX_BYTES + 2)
      throw new Failure(`The value is larger than ${MAX_BYTES} bytes (64 KiB), which no secret may be.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Failure('The value is not UTF-8 text: encode it first, for example with `base64 -w0`.')
  }
}
