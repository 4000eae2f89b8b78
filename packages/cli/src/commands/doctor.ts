import { Command } from 'commander'
import type { Finding, Target } from '../doctor/finding.ts'
import { type Format, formatOption } from '../options/format.ts'
import { coloured } from '../output/colour.ts'
import { print, printJson } from '../output/out.ts'

const SIGNS = { ok: '✓', warning: '!', failed: '✗' } as const
const COLOURS = { ok: 'green', warning: 'yellow', failed: 'red' } as const

export const doctor = (): Command =>
  new Command('doctor')
    .description('check key, server, versions, name resolution and TLS, and say how to fix each problem')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
✓ is fine, ! is a warning, ✗ must be fixed. Exit code 1 when there is a ✗.

Examples:
  e2b doctor
  e2b doctor -f json`,
    )
    .action(async ({ format }: { format: Format }) => {
      const { examine } = await import('../doctor/examine.ts')
      const findings = await examine(await readTarget())
      await (format === 'json' ? printJson(findings) : print(findings.map(formatFinding).join('\n')))
      if (findings.some((finding) => finding.status === 'failed')) process.exitCode = 1
    })

async function readTarget(): Promise<Target> {
  const { ConnectionConfig } = await (await import('../account/sdk.ts')).importSdk()
  const { readConfig } = await import('../account/user-config.ts')
  const saved = readConfig()?.projectApiKey
  const { apiUrl, domain, sandboxUrl, apiKey } = new ConnectionConfig(
    saved ? { apiKey: process.env.E2B_API_KEY || saved } : {},
  )
  return { apiUrl, domain, sandboxUrl, apiKey, keySource: keySource(saved) }
}

function keySource(saved: string | undefined): string {
  if (process.env.E2B_API_KEY) return 'E2B_API_KEY'
  return saved ? '~/.e2b/config.json' : 'the server on this machine'
}

function formatFinding({ name, status, detail, mend }: Finding): string {
  const line = `${coloured(COLOURS[status], SIGNS[status])} ${name.padEnd(16)} ${detail.split('\n')[0]}`
  return mend && status !== 'ok' ? `${line}\n${' '.repeat(19)}→ ${mend}` : line
}
