import { Argument, Command, Option } from 'commander'
import { Failure } from '../../failure.ts'
import { type Place, parsePlace } from '../../options/remote-path.ts'
import { note } from '../../output/out.ts'

export const cp = (): Command =>
  new Command('cp')
    .description('copy files and directories into or out of a sandbox')
    .addArgument(new Argument('<source>', 'local path, or <sandboxID>:<path>').argParser(parsePlace))
    .addArgument(new Argument('<target>', 'local path, or <sandboxID>:<path>').argParser(parsePlace))
    .addOption(
      new Option(
        '-u, --user <user>',
        'user in the sandbox: owner of the copies, whose home directory relative paths start from',
      ),
    )
    .addHelpText(
      'after',
      `
A copy onto an existing directory is put into that directory. \`dir/.\` means the content of a directory. Links are copied as links.

Examples:
  e2b sandbox cp ./data.csv i0lf5glwo7abo25de80rz:/home/user/
  e2b sandbox cp ./site i0lf5glwo7abo25de80rz:/srv/www
  e2b sandbox cp i0lf5glwo7abo25de80rz:results ./results`,
    )
    .action(run)

async function run(source: Place, target: Place, { user }: { user?: string }): Promise<void> {
  if (source.kind === target.kind) {
    throw new Failure('Exactly one of the two paths must be in a sandbox: <sandboxID>:<path>.')
  }
  const sandboxId = source.kind === 'remote' ? source.sandboxId : (target as { sandboxId: string }).sandboxId
  const { connect } = await import('../../account/connection.ts')
  const { orMissing } = await import('../../account/missing.ts')
  const { sdk, opts } = await connect()
  const sandbox = await orMissing(sandboxId, sdk.Sandbox.connect(sandboxId, opts))
  const remote = { sandbox, user }
  if (source.kind === 'remote') {
    const { download } = await import('../../copy/download.ts')
    note(`${sandboxId}:${source.path} → ${await download(remote, source.path, target.path)}`)
  } else {
    const { upload } = await import('../../copy/upload.ts')
    note(`${source.path} → ${sandboxId}:${await upload(source.path, remote, target.path)}`)
  }
}
