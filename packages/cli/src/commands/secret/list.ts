import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { collect, limitOption } from '../../options/limit.ts'
import { note, print, printJson } from '../../output/out.ts'
import { formatSecrets } from '../../secrets/show.ts'

export const list = (): Command =>
  new Command('list')
    .description('list the secrets of your team, without their values')
    .addOption(limitOption('secrets'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b secret list
  e2b secret list -f json | jq -r '.[].name'`,
    )
    .action(async ({ limit, format }: { limit: number; format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      const { items, hasMore } = await collect(sdk.Secret.list(opts), limit)
      if (format === 'json') return printJson(items)
      if (items.length === 0) return print('No secrets found')
      await print(formatSecrets(items))
      if (hasMore) note(`There are more than ${limit}. -l 0 lists all.`)
    })
