import type { KeyStore } from '@sandlot/server'
import { Command } from 'commander'
import { addSettingFlags, configOf } from '../setting-flags.ts'

export const keysCommand = (): Command =>
  new Command('keys')
    .description('API keys of the default team')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(deleteCommand())
    .addHelpText(
      'after',
      `
Only hashes of keys are stored: \`create\` prints a key once, and it cannot be shown again.

Examples:
  sandlot keys create --name ci
  sandlot keys list
  sandlot keys delete 1f0c6c0e-…`,
    )

const createCommand = (): Command =>
  addSettingFlags(new Command('create').description('create a key and print it once'), ['home'])
    .option('--name <name>', 'purpose of the key', 'unnamed')
    .option('--json', 'as JSON')
    .action(async (options: { name: string; json?: boolean }, command: Command) => {
      const created = await withKeys(command, (keys) => keys.create(options.name))
      process.stdout.write(options.json ? `${JSON.stringify(created)}\n` : `${created.key}\n`)
    })

const listCommand = (): Command =>
  addSettingFlags(new Command('list').description('list keys, masked'), ['home'])
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      const listed = await withKeys(command, (keys) => keys.list())
      if (options.json) return void process.stdout.write(`${JSON.stringify(listed)}\n`)
      if (listed.length === 0)
        return void process.stdout.write('No keys. Create one: sandlot keys create --name <name>\n')
      for (const { id, name, masked, createdAt } of listed) {
        // members of teams choose the names, so control characters are stripped before they reach the administrator's
        // terminal
        process.stdout.write(`${id}  ${masked}  ${createdAt}  ${name.replace(/\p{Cc}/gu, '\ufffd')}\n`)
      }
    })

const deleteCommand = (): Command =>
  addSettingFlags(
    new Command('delete')
      .argument('<id>', 'from `sandlot keys list`')
      .description('delete a key; it stops working at once'),
    ['home'],
  ).action(async (id: string, _options: unknown, command: Command) => {
    await withKeys(command, (keys) => keys.delete(id))
    process.stdout.write(`Deleted ${id}.\n`)
  })

async function withKeys<T>(command: Command, work: (keys: KeyStore) => Promise<T>): Promise<T> {
  const { openKeys } = await import('../wiring.ts')
  const keys = await openKeys(configOf(command))
  try {
    return await work(keys)
  } finally {
    await keys.close()
  }
}
