import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { labelsOption } from '../../options/labels.ts'
import { printDone } from '../../secrets/show.ts'
import { readValue, refuseValue, refusingValues } from '../../secrets/value.ts'

export const create = (): Command =>
  refusingValues(new Command('create'))
    .description('store a secret for headers of requests that sandboxes send')
    .argument('<name>', 'letters, digits, - and _; kept in lower case')
    .addOption(labelsOption('label of the secret'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
The value is read from standard input, or asked for: it cannot be given on the command line. Sandboxes never see it: a
network rule sets a header with \${e2b.secrets.<name>}, which is replaced outside the sandbox.

Examples:
  printf %s "$OPENAI_API_KEY" | e2b secret create openai
  e2b secret create github --metadata owner=ann < token.txt
  e2b secret create openai`,
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
  const secret = await sdk.Secret.create(name, value, { ...opts, metadata: flags.metadata })
  await printDone(secret, 'created', flags.format)
}
