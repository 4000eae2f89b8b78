import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import type { SandboxMetrics } from 'e2b'
import { type Format, longFormatOption } from '../../options/format.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { print } from '../../output/out.ts'

/** The server measures every 5 s. */
const FOLLOW_INTERVAL_MS = 1000

export const metrics = (): Command =>
  new Command('metrics')
    .description('show metrics for sandbox')
    .addArgument(sandboxIdArgument('show metrics for sandbox specified by <sandboxID>'))
    .addOption(new Option('-f, --follow', 'keep streaming metrics until the sandbox is closed'))
    .addOption(longFormatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b sandbox metrics i0lf5glwo7abo25de80rz
  e2b sandbox metrics i0lf5glwo7abo25de80rz --follow
  e2b sandbox metrics i0lf5glwo7abo25de80rz --format json | jq .memUsed`,
    )
    .action(run)

async function run(
  sandboxId: string,
  { follow, format }: { follow?: boolean; format: Format },
): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { isNotFound, orMissing } = await import('../../account/missing.ts')
  const { sdk, opts } = await connect()
  let last: Date | undefined
  const show = async (samples: SandboxMetrics[]): Promise<void> => {
    for (const sample of samples) {
      if (last && sample.timestamp <= last) continue
      last = sample.timestamp
      await print(format === 'json' ? JSON.stringify(sample) : formatSample(sample))
    }
  }
  const first = await orMissing(sandboxId, sdk.Sandbox.getMetrics(sandboxId, opts))
  if (format === 'pretty') await print(`\nMetrics for sandbox ${sandboxId}:\n`)
  await show(first)
  while (follow) {
    await sleep(FOLLOW_INTERVAL_MS)
    try {
      if ((await sdk.Sandbox.getInfo(sandboxId, opts)).state !== 'running') break
      await show(await sdk.Sandbox.getMetrics(sandboxId, { ...opts, ...(last && { start: last }) }))
    } catch (error) {
      if (!isNotFound(error)) throw error
      break
    }
  }
  if (follow && format === 'pretty') await print('\nStopped printing metrics. Sandbox is closed.')
}

const MIB = 1024 * 1024
const inMib = (bytes: number, width: number): string => String(Math.round(bytes / MIB)).padStart(width)

export function formatSample(sample: SandboxMetrics): string {
  const time = `[${sample.timestamp.toISOString().replace('T', ' ').replace(/\.\d+/, '')}]`
  const cpu = `CPU: ${String(sample.cpuUsedPct).padStart(5)}% / ${String(sample.cpuCount).padStart(2)} Cores`
  const memory = `Memory: ${inMib(sample.memUsed, 5)} / ${inMib(sample.memTotal, 0).padEnd(5)} MiB`
  const disk = `Disk: ${inMib(sample.diskUsed, 5)} / ${inMib(sample.diskTotal, 0).padEnd(5)} MiB`
  return `${time}  ${cpu} | ${memory} | ${disk}`
}
