import { Argument, InvalidArgumentError } from 'commander'

export const sandboxIdArgument = (description: string): Argument =>
  new Argument('<sandboxID>', description).argParser(parseSandboxId)

/** Letters and digits: anything else would end up in a URL. */
export function parseSandboxId(text: string): string {
  if (!/^[A-Za-z0-9-]{1,128}$/.test(text)) {
    throw new InvalidArgumentError(`'${text}' is no sandbox ID. \`e2b sandbox list\` shows them.`)
  }
  return text
}
