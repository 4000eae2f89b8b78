import { Command, Option } from 'commander'
import { note, print } from '../../output/out.ts'
import { thisProgram } from './ssh.ts'

export const sshConfig = (): Command =>
  new Command('ssh-config')
    .description('print or write the configuration with which ssh, scp, rsync and editors reach sandboxes')
    .addOption(new Option('-w, --write', 'write it to ~/.e2b/ssh/config and include that in ~/.ssh/config'))
    .addHelpText(
      'after',
      `
Sandboxes are then hosts with the ending .sandlot, in every program that uses OpenSSH.

Examples:
  e2b sandbox ssh-config --write
  ssh i0lf5glwo7abo25de80rz.sandlot
  scp model.bin i0lf5glwo7abo25de80rz.sandlot:/tmp/
  rsync -a src/ i0lf5glwo7abo25de80rz.sandlot:src/
  code --remote ssh-remote+i0lf5glwo7abo25de80rz.sandlot /home/user`,
    )
    .action(run)

async function run(flags: { write?: boolean }): Promise<void> {
  const { SshFiles } = await import('../../ssh/files.ts')
  const { hostBlock, sshOptions } = await import('../../ssh/options.ts')
  const files = new SshFiles()
  files.ensureKey()
  const block = hostBlock(sshOptions(files, thisProgram()), 'user')
  if (!flags.write) return print(block.trimEnd())
  const { includeConfig } = await import('../../ssh/include-config.ts')
  note(`Wrote ${includeConfig(files, block)}. Sandboxes are hosts now: ssh <sandbox ID>.sandlot`)
}
