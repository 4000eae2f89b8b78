import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAddressRange } from '@sandlot/node/address-range'
import { openCgroups } from '@sandlot/node/cgroups'
import { createGuestClient } from '@sandlot/node/guest-client'
import { createGvisorDriver, unmountState } from '@sandlot/node/gvisor-driver'
import { namesFor } from '@sandlot/node/names'
import { createSlotPool, type Slot } from '@sandlot/node/slots'
import { home } from './server.ts'

/**
 * What the engine alone can do: `runsc restore` of the same checkpoint with the same flags until envd answers, in
 * namespaces that were made before. Nothing of the server takes part.
 */
export async function bareRestoresPerSecond(
  checkpointDir: string,
  count: number,
  concurrency: number,
): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'sandlot-bare-'))
  const names = namesFor(dir)
  const manifest = JSON.parse(readFileSync(join(checkpointDir, 'manifest.json'), 'utf8'))
  const runscPath = process.env.SANDLOT_RUNSC ?? '/var/cache/sandlot/runsc/20260905.0/runsc'
  const driver = createGvisorDriver({ runscPath, version: '', stateDir: join(dir, 'runsc') })
  const cgroups = openCgroups()
  const slots = createSlotPool({
    names,
    range: parseAddressRange('10.220.0.0/16'),
    maxSlots: count,
    onError: console.error,
  })
  const guestDir = mountOf(home)
  mkdirSync(join(dir, 'runsc'))
  try {
    await slots.adopt(new Set())
    const ready: Slot[] = []
    for (let i = 0; i < count; i++) ready.push(await slots.take())
    let next = 0
    const started = performance.now()
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (next < count) {
          const index = next++
          const slot = ready[index]!
          const machineId = `${names.instance}${String(index).padStart(12, '0')}`
          const machineDir = join(dir, machineId)
          mkdirSync(machineDir)
          await driver.restore(
            { machineId, dir: machineDir },
            {
              ...manifest,
              guestDir,
              overlayDir: join(home, 'run/overlay'),
              emptyDir: join(home, 'run/empty'),
              netnsPath: slot.netnsPath,
              cgroupsPath: `/${names.cgroup}/${machineId}`,
              cpuShares: 1024,
            },
            checkpointDir,
            { isUrgent: true },
          )
          const guest = createGuestClient(slot.address)
          await guest.waitUntilHealthy(20_000)
          guest.close()
        }
      }),
    )
    return (count / (performance.now() - started)) * 1000
  } finally {
    for (const id of await cgroups.children(names.cgroup)) {
      await cgroups.kill(`${names.cgroup}/${id}`)
      await cgroups.remove(`${names.cgroup}/${id}`)
    }
    await cgroups.remove(names.cgroup)
    await slots.removeAll()
    await unmountState(join(dir, 'runsc'))
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The folder with envd that the server's own machines mount. */
function mountOf(ofHome: string): string {
  const machines = join(ofHome, 'run/machines')
  const id = readdirSync(machines)[0]
  const { mounts } = JSON.parse(readFileSync(join(machines, String(id), 'config.json'), 'utf8')) as {
    mounts: Array<{ destination: string; source: string }>
  }
  return mounts.find(({ destination }) => destination === '/opt/sandlot')!.source
}
