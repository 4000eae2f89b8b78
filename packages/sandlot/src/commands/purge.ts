import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { SandlotError } from '@sandlot/protocol'
import { Command } from 'commander'
import { createProgress, type Progress } from '../progress.ts'
import { serverLockPath } from '../server-lock.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import { stopServer, whileStopped } from '../stop-server.ts'
import { unmountBelow } from '../unmount-below.ts'

export const purgeCommand = (): Command =>
  addSettingFlags(
    new Command('purge').description(
      'remove this instance: sandboxes, network, database, keys, the whole home',
    ),
    ['home'],
  )
    .option('-y, --yes', 'do not ask for confirmation')
    .addHelpText(
      'after',
      `
Other instances, the machine's cache (/var/cache/sandlot) and a PostgreSQL database are kept; \`dropdb\` removes the latter.

Examples:
  sandlot purge
  sandlot purge --home /srv/sandlot --yes`,
    )
    .action(async (options: { yes?: boolean }, command: Command) => {
      const { settings } = configOf(command)
      await checkIsHome(settings.home)
      if (!options.yes && !(await confirm(settings.home))) return
      const progress = createProgress()
      await progress.step('server', () => stopServer(settings.home))
      await whileStopped(settings.home, () => removeAll(settings.home, progress))
    })

async function removeAll(home: string, progress: Progress): Promise<void> {
  await progress.step('sandboxes and network', async () => {
    const { removeMachines } = await import('../remove-machines.ts')
    await removeMachines(home)
    return 'removed'
  })
  await progress.step('home', async () => {
    if (!existsSync(home)) return `${home} does not exist`
    await removeHome(home)
    return `${home} removed`
  })
}

/** Guards against a slip like `purge --home /etc`: every home has a lock file, and no other folder has one. */
async function checkIsHome(home: string): Promise<void> {
  if (!existsSync(home) || existsSync(serverLockPath(home)) || (await readdir(home)).length === 0) return
  throw new SandlotError(
    'invalid_request',
    `${home} is not a home of Sandlot (no server ever ran on it), so nothing was removed`,
  )
}

/** Removes a home; the lock file is removed last, so that an interrupted purge can be repeated. */
async function removeHome(home: string): Promise<void> {
  await unmountBelow(home)
  const names = await readdir(home)
  for (const name of names.filter((name) => join(home, name) !== serverLockPath(home)))
    await rm(join(home, name), { recursive: true, force: true })
  await rm(home, { recursive: true, force: true })
}

async function confirm(home: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new SandlotError(
      'invalid_request',
      `purge removes ${home} and all its sandboxes; without a terminal it needs --yes`,
    )
  }
  const question = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test(
      (await question.question(`Remove ${home} and all its sandboxes permanently? [y/N] `)).trim(),
    )
  } finally {
    question.close()
  }
}
