import { Command } from 'commander'
import { examine } from '../doctor/examine.ts'
import type { Finding } from '../doctor/finding.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

const SIGNS = { ok: '✓', warning: '!', failed: '✗' } as const

export const doctorCommand = (): Command =>
  addSettingFlags(
    new Command('doctor').description('check the requirements of this machine, and say how to meet them'),
  )
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
✓ is fine, ! works but is worth a look, ✗ must be fixed. Exit code 1 when there is a ✗.

Examples:
  sandlot doctor
  sandlot doctor --port 3001 --json`,
    )
    .action(async (options: { json?: boolean }, command: Command) => {
      const findings = await examine(configOf(command))
      process.stdout.write(
        options.json ? `${JSON.stringify(findings, null, 2)}\n` : findings.map(format).join(''),
      )
      if (findings.some((finding) => finding.status === 'failed')) process.exitCode = 1
    })

function format({ name, status, detail, mend }: Finding): string {
  const line = `${SIGNS[status]} ${name.padEnd(18)} ${detail.split('\n')[0]}\n`
  return mend && status !== 'ok' ? `${line}${' '.repeat(21)}→ ${mend}\n` : line
}
