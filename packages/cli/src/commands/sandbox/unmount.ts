import { Command } from 'commander'
import { Failure } from '../../failure.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { print } from '../../output/out.ts'

export const unmount = (): Command =>
  new Command('unmount')
    .description('unmount the volume at a path of a running sandbox')
    .addArgument(sandboxIdArgument('unmount from the sandbox specified by <sandboxID>'))
    .argument('<path>', 'path that the volume is mounted at')
    .addHelpText(
      'after',
      `
Files of the volume that processes have open stay usable.

Examples:
  e2b sandbox info i0lf5glwo7abo25de80rz
  e2b sandbox unmount i0lf5glwo7abo25de80rz /mnt/data`,
    )
    .action(async (sandboxId: string, path: string) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      if (!(await orMissing(sandboxId, sdk.Sandbox.unmountVolume(sandboxId, path, opts))))
        throw new Failure(
          `No volume is mounted at ${path}. \`e2b sandbox info ${sandboxId}\` shows the volumes of this sandbox.`,
        )
      await print(`The volume at ${path} of sandbox ${sandboxId} has been unmounted`)
    })
