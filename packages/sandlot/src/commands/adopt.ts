import { sandboxIdIn } from '@sandlot/protocol'
import { Command } from 'commander'
import type { Candidate } from '../adopt.ts'
import { reportError } from '../report-error.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

interface AdoptOptions {
  sandbox?: string
  list?: boolean
  force?: boolean
  json?: boolean
}

export const adoptCommand = (): Command =>
  addSettingFlags(
    new Command('adopt').description('take over paused sandboxes of a machine that died, from the bucket'),
    ['home', 'checkpointBucket', 'checkpointEndpoint', 'checkpointRegion', 'checkpointPrefix'],
  )
    .option('--list', 'list the sandboxes of other machines in the bucket, without taking any over')
    .option('--sandbox <id>', 'only this sandbox; default: all that can be taken over')
    .option('--force', 'also take over sandboxes of a machine that was alive less than five minutes ago')
    .option('--json', 'print the list as JSON')
    .addHelpText(
      'after',
      `
The server of this home must not run. Its next start shows the sandboxes, paused, with their ids and tokens, in the
default team. Both machines need the same bucket and the same SANDLOT_CHECKPOINT_SECRET. Images are fetched now, the
content of a checkpoint when the sandbox is resumed.

Examples:
  sandlot adopt --list
  sandlot adopt
  sandlot adopt --sandbox ix2k… --force`,
    )
    .action(async (options: AdoptOptions, command: Command) => {
      const config = configOf(command)
      const { Adopter } = await import('../adopt.ts')
      const failed = await Adopter.with(config, async (adopter) => {
        const only = options.sandbox && sandboxIdIn(options.sandbox)
        if (only && !options.list) {
          await adopter.adopt(only, options.force === true)
          process.stdout.write(`Took over ${options.sandbox}.\n`)
          return 0
        }
        const candidates = (await adopter.candidates()).filter(({ sandboxId }) => !only || sandboxId === only)
        if (options.list) return void show(candidates, options.json === true)
        return adoptAll(candidates, options.force === true, (id, isForced) => adopter.adopt(id, isForced))
      })
      if (failed) process.exitCode = 1
    })

/** Takes over all given sandboxes; a failed one does not stop the others. @returns how many failed */
async function adoptAll(
  candidates: readonly Candidate[],
  isForced: boolean,
  adopt: (sandboxId: string, isForced: boolean) => Promise<void>,
): Promise<number> {
  let failed = 0
  if (candidates.length === 0) process.stdout.write('The bucket has no sandboxes of other machines.\n')
  for (const { sandboxId, owner, obstacle, isForceable } of candidates) {
    if (obstacle && !(isForced && isForceable)) {
      process.stdout.write(`Skipped ${sandboxId}: ${obstacle}.\n`)
      continue
    }
    try {
      await adopt(sandboxId, isForced)
      process.stdout.write(`Took over ${sandboxId} from '${owner}'.\n`)
    } catch (error) {
      failed++
      process.stderr.write(`${reportError(error)}\n`)
    }
  }
  return failed
}

function show(candidates: readonly Candidate[], asJson: boolean): void {
  const shown = candidates.map(
    ({ sandboxId, owner, instanceId, templateName, pausedAtMs, sizeBytes, obstacle }) => ({
      sandboxId,
      owner,
      instanceId,
      templateName,
      sizeBytes,
      pausedAt: pausedAtMs === undefined ? null : new Date(pausedAtMs).toISOString(),
      obstacle: obstacle ?? null,
    }),
  )
  if (asJson) return void process.stdout.write(`${JSON.stringify(shown)}\n`)
  if (shown.length === 0) process.stdout.write('The bucket has no sandboxes of other machines.\n')
  for (const { sandboxId, owner, templateName, pausedAt, sizeBytes, obstacle } of shown) {
    const size = `${Math.ceil(sizeBytes / 2 ** 20)} MB`
    process.stdout.write(
      `${sandboxId}  ${owner}  ${templateName}  ${pausedAt}  ${size}${obstacle ? `  (${obstacle})` : ''}\n`,
    )
  }
}
