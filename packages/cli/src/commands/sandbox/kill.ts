import { Argument, Command } from 'commander'
import type { SandboxState } from 'e2b'
import { Failure } from '../../failure.ts'
import { collect } from '../../options/limit.ts'
import { metadataOption } from '../../options/metadata.ts'
import { parseSandboxId } from '../../options/sandbox-id.ts'
import { stateOption } from '../../options/state.ts'
import { note, print } from '../../output/out.ts'

/** Maximum number of concurrent requests, so that a thousand sandboxes do not need a thousand sockets. */
const AT_ONCE = 10

export const kill = (): Command =>
  new Command('kill')
    .description('kill sandbox')
    .addArgument(
      new Argument('[sandboxIDs...]', 'kill the sandboxes specified by [sandboxIDs...]').argParser(
        (text, before: string[] = []) => [...before, parseSandboxId(text)],
      ),
    )
    .option('-a, --all', 'kill all sandboxes')
    .addOption(stateOption('when used with -a/--all, '))
    .addOption(metadataOption('when used with -a/--all, '))
    .addHelpText(
      'after',
      `
Exit code 1 when one of the sandboxes does not exist.

Examples:
  e2b sandbox kill i0lf5glwo7abo25de80rz
  e2b sandbox kill --all -s running,paused -m user=ann`,
    )
    .action(run)

interface Flags {
  all?: boolean
  state: SandboxState[]
  metadata?: Record<string, string>
}

async function run(sandboxIds: string[] = [], { all, state, metadata }: Flags): Promise<void> {
  if (all && sandboxIds.length > 0)
    throw new Failure('You cannot use -a/--all flag while specifying [sandboxIDs...]')
  if (!all && sandboxIds.length === 0)
    throw new Failure('You need to specify [sandboxIDs...] or use -a/--all flag')
  const { connect } = await import('../../account/connection.ts')
  const { sdk, opts } = await connect()
  const ids = all
    ? (await collect(sdk.Sandbox.list({ ...opts, query: { state, metadata } }), 0)).items.map(
        (it) => it.sandboxId,
      )
    : sandboxIds
  const kind = state.join(' or ')
  if (ids.length === 0) return print(`No ${kind} sandboxes`)
  const killed = await killEach(ids, (id) => sdk.Sandbox.kill(id, opts))
  if (all) await print(`Killed ${killed} ${kind} sandboxes`)
  // A listed sandbox may have ended since; a sandbox that the user named should exist.
  else if (killed < ids.length) process.exitCode = 1
}

/** @returns how many of the sandboxes existed */
async function killEach(ids: readonly string[], killOne: (id: string) => Promise<boolean>): Promise<number> {
  const waiting = [...ids]
  let killed = 0
  const work = async (): Promise<void> => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      if (await killOne(id)) {
        killed++
        await print(`Sandbox ${id} has been killed`)
      } else note(`Sandbox ${id} wasn't found`)
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, ids.length) }, work))
  return killed
}
