import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { labelsOption } from '../../options/labels.ts'
import { printDone } from '../../secrets/show.ts'
import { readValue, refuseValue, refusingValues } from '../../secrets/value.ts'

export const update = (): Command =>
  refusingValues(new Command('update'))
    .description('give a secret a new value, which the next request of a sandbox uses')
    .argument('<secret>', 'name or ID')
    .addOption(labelsOption('label of the secret, instead of all present ones'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
The value is read from standard input, or asked for: it cannot be given on the command line.

Examples:
  printf %s "$NEW_KEY" | e2b secret update openai
  e2b secret update github --metadata owner=bob --metadata rotated=2026-12 < token.txt`,
    )
    .action(run)

interface Flags {
  metadata?: Record<string, string>
  format: Format
  value?: string
}

async function run(name: string, flags: Flags, { args }: Command): Promise<void> {
  refuseValue(args, flags)
  const { connect } = await import('../../account/connection.ts')
  const { sdk, opts } = await connect()
  const value = await readValue(name)
  const secret = await sdk.Secret.update(name, value, { ...opts, metadata: flags.metadata })
  await printDone(secret, `updated to version ${secret.version}`, flags.format)
}
