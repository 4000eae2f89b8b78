import { Command } from 'commander'
import type { Rotation } from '../rotate-secrets-key.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import { variableOf } from '../settings.ts'

export const secretsCommand = (): Command =>
  new Command('secrets')
    .description('the key that the secrets of all teams are encrypted with')
    .addCommand(rotateKeyCommand())

const rotateKeyCommand = (): Command =>
  addSettingFlags(
    new Command('rotate-key').description('encrypt all secrets with a new key; the server must be stopped'),
    ['home'],
  )
    .addHelpText(
      'after',
      `
Stop the server first (SIGTERM; sandboxes go on), and start it again afterwards. When this command is interrupted, even by
a power cut, the server can read all secrets, and running the command again completes the change.
The key is in <home>/secrets.key. A backup of the database can only be read with the key of its time.
With the key in ${variableOf('secretsKey')}, put the new key before the present one, run this command, and remove the old one.

Examples:
  sandlot secrets rotate-key
  sandlot secrets rotate-key --home /srv/sandlot
  ${variableOf('secretsKey')}=$NEW_KEY,$OLD_KEY sandlot secrets rotate-key`,
    )
    .action(async (_options: unknown, command: Command) => {
      const { settings } = configOf(command)
      const { rotateSecretsKey } = await import('../rotate-secrets-key.ts')
      process.stdout.write(describe(await rotateSecretsKey(settings), settings.store !== 'sqlite'))
    })

function describe({ secrets, identityKeys, wasInterrupted, path }: Rotation, isShared: boolean): string {
  const what = `${secrets} secrets and ${identityKeys} keys for identity tokens`
  const first = wasInterrupted
    ? `An earlier change of the key was interrupted, and is complete now: ${what} were left to encrypt.\n`
    : `Encrypted ${what} with the new key.\n`
  if (path === undefined)
    return `${first}Now remove the former key from ${variableOf('secretsKey')}, or delete the file secrets.key of the home if the key was there.\n`
  return isShared ? `${first}Copy ${path} to the homes of other servers of this database.\n` : first
}
