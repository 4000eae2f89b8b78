import { Command } from 'commander'
import { note, print } from '../../output/out.ts'

export const remove = (): Command =>
  new Command('delete')
    .description('delete secrets; requests that need them are refused from now on')
    .argument('<secrets...>', 'names or IDs')
    .addHelpText(
      'after',
      `
Exit code 1 when one of the secrets does not exist.

Examples:
  e2b secret delete openai
  e2b secret list -f json | jq -r '.[].name' | xargs e2b secret delete`,
    )
    .action(async (secrets: string[]) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      for (const secret of secrets) {
        if (await sdk.Secret.destroy(secret, opts)) await print(`Secret ${secret} has been deleted`)
        else {
          note(`Secret ${secret} wasn't found`)
          process.exitCode = 1
        }
      }
    })
