import { Command } from 'commander'
import type { Sandbox, SandboxOpts } from 'e2b'
import {
  autoResumeOption,
  type LifecycleFlags,
  lifecycleOf,
  onTimeoutOption,
} from '../../options/lifecycle.ts'
import { addSessionOptions, type SessionFlags } from '../../options/session.ts'
import { timeoutOption } from '../../options/timeout.ts'
import { coloured } from '../../output/colour.ts'
import { note, print } from '../../output/out.ts'

export const create = (): Command =>
  addSessionOptions(
    new Command('create')
      .description('create sandbox and connect terminal to it')
      .argument('[template]', 'template name or ID', 'base')
      .option('-d, --detach', 'create sandbox without connecting terminal to it, and print its ID')
      .addOption(onTimeoutOption())
      .addOption(autoResumeOption())
      .addOption(timeoutOption()),
    'the terminal session',
  )
    .addHelpText(
      'after',
      `
The sandbox ends with the terminal, unless --timeout or --lifecycle.ontimeout pause is given.

Examples:
  e2b sandbox create
  e2b sandbox create my-template -u root -e TOKEN=secret
  id=$(e2b sandbox create --detach --timeout 3600)`,
    )
    .action(run)

interface Flags extends SessionFlags, LifecycleFlags {
  detach?: boolean
  timeout?: number
}

async function run(template: string, flags: Flags): Promise<void> {
  const lifecycle = lifecycleOf(flags)
  const { connect } = await import('../../account/connection.ts')
  const { sdk, opts } = await connect()
  const timeoutMs = flags.timeout && flags.timeout * 1000
  const make = (more: SandboxOpts): Promise<Sandbox> =>
    sdk.Sandbox.create(template, { ...opts, ...(lifecycle && { lifecycle }), ...more })

  if (flags.detach) return print((await make({ ...(timeoutMs && { timeoutMs }) })).sandboxId)

  const { GRACE_MS } = await import('../../terminal/keep-alive.ts')
  const sandbox = await make({ timeoutMs: timeoutMs ?? GRACE_MS })
  const { showTerminal } = await import('../../terminal/show.ts')
  const isKept = flags.timeout !== undefined || lifecycle?.onTimeout === 'pause'
  const title = `template ${template} with sandbox ID ${coloured('bold', sandbox.sandboxId)}`
  await showTerminal(sandbox, title, flags, async () => {
    if (isKept) note(`Sandbox ${sandbox.sandboxId} keeps running: e2b sandbox connect ${sandbox.sandboxId}`)
    else await sandbox.kill({ requestTimeoutMs: 5000 })
  })
}
