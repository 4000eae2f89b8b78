import { Command } from 'commander'
import type { SandboxInfo } from 'e2b'
import { type Format, formatOption } from '../../options/format.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { coloured } from '../../output/colour.ts'
import { print, printJson } from '../../output/out.ts'
import { formatTime } from '../../output/time.ts'

export const info = (): Command =>
  new Command('info')
    .description('show information for a sandbox')
    .addArgument(sandboxIdArgument('show information for sandbox specified by <sandboxID>'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b sandbox info i0lf5glwo7abo25de80rz
  e2b sandbox info i0lf5glwo7abo25de80rz -f json`,
    )
    .action(async (sandboxId: string, { format }: { format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      const sandbox = await orMissing(sandboxId, sdk.Sandbox.getFullInfo(sandboxId, opts))
      if (format === 'json') return printJson(sandbox)
      await print(`\nSandbox info for ${coloured('bold', sandboxId)}:\n${formatInfo(sandbox)}\n`)
    })

const TITLES: Partial<Record<keyof SandboxInfo, string>> = {
  sandboxId: 'Sandbox ID',
  templateId: 'Template ID',
  name: 'Alias',
  state: 'State',
  startedAt: 'Started at',
  endAt: 'End at',
  cpuCount: 'vCPUs',
  memoryMB: 'RAM MiB',
  envdVersion: 'Envd version',
  allowInternetAccess: 'Internet access',
  lifecycle: 'Lifecycle',
  network: 'Network',
  warnings: 'Warnings',
  sandboxDomain: 'Sandbox domain',
  metadata: 'Metadata',
  volumeMounts: 'Volume mounts',
}

export function formatInfo(sandbox: SandboxInfo): string {
  const known = Object.keys(TITLES) as (keyof SandboxInfo)[]
  return known
    .filter((key) => sandbox[key] !== undefined)
    .map((key) => `${TITLES[key]}: ${formatValue(sandbox[key])}`)
    .join('\n')
}

function formatValue(value: unknown): string {
  if (value instanceof Date) return formatTime(value)
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
