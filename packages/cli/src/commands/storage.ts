import { Command } from 'commander'
import { type Format, formatOption } from '../options/format.ts'
import { print, printJson } from '../output/out.ts'
import { formatBytes } from '../output/size.ts'
import { type Column, formatTable } from '../output/table.ts'

export const storage = (): Command =>
  new Command('storage')
    .description("show how much storage your team's checkpoints use")
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
WRITTEN counts towards the limit of the plan. STORED is the size of the packed copies, with equal parts counted
once; SHARED is the part of STORED that checkpoints outside of the team use too. Both are 0 until the checkpoints
have been packed.

Examples:
  e2b storage
  e2b storage -f json | jq .sizeBytes`,
    )
    .action(async ({ format }: { format: Format }) => {
      const { connect } = await import('../account/connection.ts')
      const { apiOf, dataOf } = await import('../account/api.ts')
      const usage = dataOf(await apiOf(await connect()).GET('/usage/storage'))
      await (format === 'json' ? printJson(usage) : print(formatTable([usage], COLUMNS)))
    })

interface Usage {
  checkpoints: number
  uploads: number
  uploadBytes: number
  sizeBytes: number
  storedBytes: number
  sharedBytes: number
  limitBytes: number | null
}

const COLUMNS: Column<Usage>[] = [
  { title: 'CHECKPOINTS', value: (usage) => String(usage.checkpoints) },
  { title: 'WRITTEN', value: (usage) => formatBytes(usage.sizeBytes) },
  { title: 'LIMIT', value: ({ limitBytes }) => (limitBytes === null ? 'none' : formatBytes(limitBytes)) },
  { title: 'STORED', value: (usage) => formatBytes(usage.storedBytes) },
  { title: 'SHARED', value: (usage) => formatBytes(usage.sharedBytes) },
]
