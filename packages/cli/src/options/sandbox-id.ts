import { Argument, InvalidArgumentError } from 'commander'

export const sandboxIdArgument = (description: string): Argument =>
  new Argument('<sandboxID>', description).argParser(parseSandboxId)

/** Allows only letters and digits, as the id becomes part of a URL. */
export function parseSandboxId(text: string): string {
  if (!/^[A-Za-z0-9-]{1,128}$/.test(text)) {
    throw new InvalidArgumentError(`'${text}' is not a sandbox ID. \`e2b sandbox list\` shows them.`)
  }
  return text
}
