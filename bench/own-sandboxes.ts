import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Sandbox } from 'e2b-official'
import { home } from './server.ts'

/** Marks the sandboxes of this run: others may be using the same server. */
export const metadata = { bench: randomUUID() }

/** Kills the sandboxes that carry this run's mark, and no others. */
export async function killOwn(): Promise<void> {
  const paginator = Sandbox.list({ limit: 100, query: { metadata } })
  while (paginator.hasNext)
    await Promise.all((await paginator.nextItems()).map(({ sandboxId }) => Sandbox.kill(sandboxId)))
}

/** Kills this run's sandboxes also when it is interrupted. */
export function killOwnOnInterrupt(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void killOwn().finally(() => process.exit(1)))
}

const machinesDir = join(home, 'run/machines')

/** Machines that are restored and wait for a create. */
export const warmCount = (): number =>
  readdirSync(machinesDir).filter((id) => existsSync(join(machinesDir, id, 'warm'))).length
