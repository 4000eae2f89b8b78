import { SandlotError } from '@sandlot/protocol'
import { Command } from 'commander'
import { readEnvFile } from '../env-file.ts'
import { findServer, localUrl } from '../server-lock.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import { unlistedReport } from '../unlisted-report.ts'

const REQUEST_TIMEOUT_MS = 10 * 60_000

export const gcCommand = (): Command =>
  addSettingFlags(
    new Command('gc').description(
      'free the disk space of deleted checkpoints (the server also does this periodically)',
    ),
    ['home', 'unlistedGraceDays'],
  )
    .option('--dry-run', 'only report what would be freed')
    .addHelpText(
      'after',
      `
The server must be up. Data that is younger than ten minutes is kept. Data that the database does not list is kept for
the time of the setting unlistedGraceDays, and listed line by line.

Examples:
  sandlot gc --dry-run
  sandlot gc`,
    )
    .action(async (options: { dryRun?: boolean }, command: Command) => {
      const isDryRun = options.dryRun === true
      const { settings } = configOf(command)
      const { chunks, bytes, keptBytes } = await collect(settings.home, isDryRun)
      const verb = isDryRun ? 'would free' : 'freed'
      process.stdout.write(`${verb} ${chunks} chunks, ${toMB(bytes)} MB; ${toMB(keptBytes)} MB are in use\n`)
      for (const line of await unlistedReport(settings)) process.stdout.write(`kept: ${line}\n`)
    })

async function collect(
  home: string,
  isDryRun: boolean,
): Promise<{ chunks: number; bytes: number; keptBytes: number }> {
  const server = findServer(home)
  const key = readEnvFile(home)?.E2B_API_KEY
  if (!server || !key)
    throw new SandlotError('conflict', `no server runs on ${home}: start it with \`sandlot up\``)
  const response = await fetch(`${localUrl(server.listen)}/usage/storage/gc`, {
    method: 'POST',
    headers: { 'X-API-Key': key, 'content-type': 'application/json' },
    body: JSON.stringify({ isDryRun }),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  })
  const answer = (await response.json()) as {
    message?: string
    chunks: number
    bytes: number
    keptBytes: number
  }
  if (!response.ok)
    throw new SandlotError(
      'internal_server_error',
      `the server answered ${response.status}: ${answer.message}`,
    )
  return answer
}

const toMB = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)
