import { Command, Option } from 'commander'
import type { SandboxInfo, SandboxListOrder, SandboxState } from 'e2b'
import { parseDate } from '../../options/date.ts'
import { type Format, formatOption } from '../../options/format.ts'
import { collect, limitOption } from '../../options/limit.ts'
import { metadataOption } from '../../options/metadata.ts'
import { orderOption } from '../../options/order.ts'
import { stateOption } from '../../options/state.ts'
import { note, print, printJson } from '../../output/out.ts'
import { type Column, formatTable } from '../../output/table.ts'
import { formatTime } from '../../output/time.ts'

export const list = (): Command =>
  new Command('list')
    .description('list all sandboxes, by default only running ones')
    .addOption(stateOption())
    .addOption(metadataOption())
    .addOption(new Option('-t, --template <template>', 'filter by template ID or alias, eg. base'))
    .addOption(
      new Option(
        '--started-after <date>',
        'started at or after this time, eg. 2025-01-01T00:00:00Z',
      ).argParser(parseDate),
    )
    .addOption(orderOption())
    .addOption(limitOption('sandboxes'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b sandbox list
  e2b sandbox list -s running,paused -m user=ann
  e2b sandbox list -f json | jq -r '.[].sandboxId'`,
    )
    .action(run)

interface Flags {
  state: SandboxState[]
  metadata?: Record<string, string>
  template?: string
  startedAfter?: Date
  order: SandboxListOrder
  limit: number
  format: Format
}

const COLUMNS: Column<SandboxInfo>[] = [
  { title: 'SANDBOX ID', value: (sandbox) => sandbox.sandboxId },
  { title: 'TEMPLATE ID', value: (sandbox) => sandbox.templateId },
  { title: 'ALIAS', value: (sandbox) => sandbox.name ?? '' },
  { title: 'STARTED AT', value: (sandbox) => formatTime(sandbox.startedAt) },
  { title: 'END AT', value: (sandbox) => formatTime(sandbox.endAt) },
  { title: 'STATE', value: ({ state }) => state.charAt(0).toUpperCase() + state.slice(1) },
  { title: 'VCPUS', value: (sandbox) => String(sandbox.cpuCount) },
  { title: 'RAM MIB', value: (sandbox) => String(sandbox.memoryMB) },
  { title: 'ENVD VERSION', value: (sandbox) => sandbox.envdVersion },
  { title: 'METADATA', value: (sandbox) => JSON.stringify(sandbox.metadata) },
]

async function run({ state, metadata, template, startedAfter, order, limit, format }: Flags): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { sdk, opts } = await connect()
  const pages = sdk.Sandbox.list({ ...opts, query: { state, metadata, template, startedAfter }, order })
  const { items, hasMore } = await collect(pages, limit)
  if (format === 'json') return printJson(items)
  if (items.length === 0) return print('No sandboxes found')
  await print(formatTable(items, COLUMNS))
  if (hasMore) note(`There are more than ${limit}. -l 0 lists all.`)
}
