import { Command } from 'commander'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { print } from '../../output/out.ts'
import { findInfo } from '../../volumes/find.ts'

export const mount = (): Command =>
  new Command('mount')
    .description('mount a volume into a running sandbox')
    .addArgument(sandboxIdArgument('mount into the sandbox specified by <sandboxID>'))
    .argument('<volume>', 'name or ID')
    .argument('<path>', 'absolute path in the sandbox; it is created if it does not exist')
    .option('--read-only', 'the sandbox cannot change the volume', false)
    .addHelpText(
      'after',
      `
The volume stays mounted when the sandbox is paused, resumed or rolled back, and forks have it too.

Examples:
  e2b sandbox mount i0lf5glwo7abo25de80rz datasets /mnt/data
  e2b sandbox mount i0lf5glwo7abo25de80rz datasets /mnt/data --read-only
  e2b sandbox unmount i0lf5glwo7abo25de80rz /mnt/data`,
    )
    .action(async (sandboxId: string, reference: string, path: string, flags: { readOnly: boolean }) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      const { name } = await findInfo(reference)
      const readOnly = flags.readOnly || undefined
      await orMissing(sandboxId, sdk.Sandbox.mountVolume(sandboxId, path, name, { ...opts, readOnly }))
      await print(`Volume ${name} has been mounted at ${path} of sandbox ${sandboxId}`)
    })
