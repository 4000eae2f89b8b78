import type { CatalogEntry, ListedTemplate } from '@sandlot/server'
import { Command } from 'commander'
import { inMBOrGB } from '../catalog/describe.ts'
import { changeCatalog, readCatalog } from '../catalog/server-client.ts'
import type { Config } from '../config.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

export const templatesCommand = (): Command =>
  new Command('templates')
    .description('list the templates that sandboxes start from, build and remove those of the catalogue')
    .addCommand(listCommand())
    .addCommand(buildCommand())
    .addCommand(removeCommand())
    .addHelpText(
      'after',
      `
Teams build and delete their own templates with the SDK or \`e2b template\`. The setting \`catalog\` decides which templates of
the catalogue are built after a start. A removed template is only built again by \`sandlot templates build\`.

Examples:
  sandlot templates list
  sandlot templates list --json
  sandlot templates remove desktop
  sandlot templates build desktop`,
    )

/** A row of the list. */
interface Row extends Omit<ListedTemplate, 'checkpointId' | 'sizeBytes'> {
  /** Size of image and newest checkpoint; undefined for a missing template and for `base`, which all share. */
  sizeBytes?: number
}

const listCommand = (): Command =>
  addSettingFlags(
    new Command('list').description('list templates and snapshots of all teams with their size'),
    ['home'],
  )
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      const rows = await readRows(configOf(command))
      if (options.json) return void process.stdout.write(`${JSON.stringify(rows)}\n`)
      if (rows.length === 0) return void process.stdout.write('No templates: the first start makes base.\n')
      process.stdout.write(table(rows))
    })

const buildCommand = (): Command =>
  addSettingFlags(
    new Command('build').description('build a template of the catalogue that was left out or removed'),
    ['home'],
  )
    .argument('<name>', 'name of a template of the catalogue')
    .addHelpText(
      'after',
      `
The server must be up. It builds the template in the background, even when the disk has less free space than the setting
\`catalogFloorMB\`.`,
    )
    .action(async (name: string, _options: unknown, command: Command) => {
      await changeCatalog(configOf(command), 'POST', name)
      process.stdout.write(`${name} is built in the background: \`sandlot status\` shows how far it is\n`)
    })

const removeCommand = (): Command =>
  addSettingFlags(
    new Command('remove').description('remove a template of the catalogue, and free its disk space'),
    ['home'],
  )
    .argument('<name>', 'name of a template of the catalogue')
    .addHelpText(
      'after',
      `
The server must be up. Refused while sandboxes of the template are running or paused. Snapshots and templates that were
made from it still work: files that they need are kept. Later starts do not build the template again;
\`sandlot templates build <name>\` does.`,
    )
    .action(async (name: string, _options: unknown, command: Command) => {
      const removed = (await changeCatalog(configOf(command), 'DELETE', name)) as Removed
      process.stdout.write(
        `${whatWasRemoved(name, removed)}\nNo start builds it; \`sandlot templates build ${name}\` does.\n`,
      )
    })

/** Response of the server. */
interface Removed {
  wasThere: boolean
  freedBytes: number
  neededBy: number
}

function whatWasRemoved(name: string, { wasThere, freedBytes, neededBy }: Removed): string {
  if (!wasThere) return `${name} was not built.`
  const freed = freedBytes > 0 ? `, ${toMB(freedBytes)} of images and layers freed` : ''
  const kept =
    neededBy > 0 ? `; its image is kept, as ${neededBy} snapshots, templates or layers need it` : ''
  return `${name} is removed${freed}${kept}. Its packed checkpoint is freed within half an hour, or by \`sandlot gc\` ten minutes from now.`
}

async function readRows(config: Config): Promise<Row[]> {
  const { home } = config.settings
  const { templatesOf } = await import('../wiring.ts')
  const { templateSize } = await import('@sandlot/node')
  const listed = await templatesOf(config)
  const rows: Row[] = []
  for (const { checkpointId, sizeBytes: _, ...row } of listed) {
    const size = checkpointId ? await templateSize(home, checkpointId) : undefined
    rows.push({ ...row, sizeBytes: size && size.checkpointBytes + size.imageBytes })
  }
  const report = await readCatalog(home)
  const known = new Set(rows.flatMap(({ team, name }) => (team === null && name ? [name] : [])))
  for (const entry of report?.templates ?? []) if (!known.has(entry.name)) rows.push(rowOf(entry))
  return rows
}

/** A missing template of the catalog. */
const rowOf = (entry: CatalogEntry): Row => ({
  templateId: '-',
  name: entry.name,
  team: null,
  status: entry.state,
  reason: adviceOn(entry),
  spawnCount: 0,
  updatedAtMs: 0,
})

function adviceOn(entry: CatalogEntry): string | undefined {
  const { name, estimate } = entry
  const command = `sandlot templates build ${name}${estimate ? ` (about ${inMBOrGB(estimate.megabytes)})` : ''}`
  if (entry.state === 'removed') return command
  if (entry.state === 'left-out') return `no room; ${command}`
  return entry.state === 'failed' ? entry.reason : undefined
}

function table(rows: Row[]): string {
  const cells = rows.map(({ templateId, name, team, status, reason, sizeBytes, spawnCount, updatedAtMs }) => [
    name ?? templateId,
    team ?? 'everybody',
    sizeBytes === undefined ? '-' : toMB(sizeBytes),
    String(spawnCount),
    updatedAtMs === 0 ? '-' : new Date(updatedAtMs).toISOString(),
    reason ? `${status}: ${reason.split('\n')[0]!.slice(0, 80)}` : status,
  ])
  const all = [['name', 'team', 'size', 'started', 'changed', 'status'], ...cells]
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  const line = (row: string[]) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')
  return all.map((row) => `${line(row).trimEnd()}\n`).join('')
}

const toMB = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MB`
