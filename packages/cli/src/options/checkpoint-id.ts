import { Argument, InvalidArgumentError } from 'commander'

export const checkpointIdArgument = (description: string): Argument =>
  new Argument('<checkpointID>', description).argParser(parseCheckpointId)

export function parseCheckpointId(text: string): string {
  if (!/^[a-z0-9]{1,64}$/.test(text)) {
    throw new InvalidArgumentError(
      `'${text}' is not a checkpoint ID. \`e2b sandbox tree <sandboxID>\` shows them.`,
    )
  }
  return text
}
