import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { projectOption } from '../../options/project.ts'
import { print, printJson } from '../../output/out.ts'
import { type Column, formatTable } from '../../output/table.ts'
import { formatDay } from '../../output/time.ts'
import type { ListedTemplate } from '../../templates/select.ts'

export const list = (): Command =>
  new Command('list')
    .description('list sandbox templates')
    .addOption(projectOption())
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b template list
  e2b template list -f json | jq -r '.[].templateID'`,
    )
    .action(async ({ project, format }: { project?: string; format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { listTemplates } = await import('../../templates/select.ts')
      const templates = await listTemplates(await connect(), project)
      if (format === 'json') return printJson(templates)
      if (templates.length === 0) return print('No templates found.')
      await print(formatTable(templates, COLUMNS))
    })

const COLUMNS: Column<ListedTemplate>[] = [
  { title: 'ACCESS', value: (template) => (template.public ? 'Public' : 'Private') },
  { title: 'TEMPLATE ID', value: (template) => template.templateID },
  {
    title: 'TEMPLATE NAME',
    value: ({ aliases, names }) => (aliases.length > 0 ? aliases : (names ?? [])).join(', '),
  },
  { title: 'VCPUS', value: (template) => String(template.cpuCount) },
  { title: 'RAM MIB', value: (template) => String(template.memoryMB) },
  { title: 'CREATED BY', value: (template) => template.createdBy?.email ?? '' },
  { title: 'CREATED AT', value: (template) => formatDay(new Date(template.createdAt)) },
  { title: 'DISK SIZE MIB', value: (template) => String(template.diskSizeMB ?? '') },
  { title: 'ENVD VERSION', value: (template) => template.envdVersion ?? '' },
]
