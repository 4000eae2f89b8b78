import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GvisorDriver, unmountState } from '@sandlot/node/engine/gvisor-driver'
import { GuestClient } from '@sandlot/node/guest/guest-client'
import { namesFor } from '@sandlot/node/instance-names'
import { Cgroups } from '@sandlot/node/machines/cgroups'
import { parseAddressRange } from '@sandlot/node/network/address-range'
import type { Slot } from '@sandlot/node/network/slot'
import { SlotPool } from '@sandlot/node/network/slots'
import type { BuildResources } from '@sandlot/protocol/node'
import { runscPath as cachedRunsc } from '../packages/sandlot/src/setup/runsc.ts'
import { home } from './server.ts'

const RANGE = '10.220.0.0/16'
const HEALTHY_TIMEOUT_MS = 60_000

/** Inputs of a restore besides the files of the checkpoint. */
export interface BareSource extends BuildResources {
  imagePath: string
  guestDir: string
}

/** runsc with the server's flags, in namespaces that were created in advance, without any part of the server. */
export interface BareEngine {
  /** Restores and resolves when envd answers. @param index of the namespace; each takes one machine at a time */
  restore(index: number, source: BareSource, checkpointDir: string): Promise<void>
  /** Saves a machine of the server, which keeps running. */
  checkpoint(machineId: string, checkpointDir: string): Promise<void>
  /** Ends a machine that `restore` started. */
  end(index: number): Promise<void>
  close(): Promise<void>
}

/** @param slotCount machines that may run concurrently */
export async function openBareEngine(slotCount: number): Promise<BareEngine> {
  const dir = mkdtempSync(join(tmpdir(), 'sandlot-bare-'))
  const names = namesFor(dir)
  const runscPath = process.env.SANDLOT_RUNSC ?? cachedRunsc('/var/cache/sandlot')
  const driverOf = (stateDir: string) => new GvisorDriver({ runscPath, version: '', stateDir })
  const driver = driverOf(join(dir, 'runsc'))
  const servers = driverOf(join(home, 'run/runsc'))
  const cgroups = new Cgroups()
  const slots = new SlotPool({
    names,
    range: parseAddressRange(RANGE),
    maxSlots: slotCount,
    onError: console.error,
  })
  mkdirSync(join(dir, 'runsc'))
  await slots.adopt(new Set())
  const ready: Slot[] = []
  for (let i = 0; i < slotCount; i++) ready.push(await slots.take())
  const idOf = (index: number) => `${names.instance}${String(index).padStart(12, '0')}`

  async function end(machineId: string): Promise<void> {
    const cgroup = `${names.cgroup}/${machineId}`
    await cgroups.kill(cgroup)
    await driver.forget(machineId)
    await cgroups.remove(cgroup)
    rmSync(join(dir, machineId), { recursive: true, force: true })
  }

  return {
    async restore(index, source, checkpointDir) {
      const slot = ready[index]!
      const machineId = idOf(index)
      const machineDir = join(dir, machineId)
      mkdirSync(machineDir)
      await driver.restore(
        { machineId, dir: machineDir },
        {
          ...source,
          overlayDir: join(home, 'run/overlay'),
          emptyDir: join(home, 'run/empty'),
          volumesDir: join(home, 'run/empty'),
          netnsPath: slot.netnsPath,
          cgroupsPath: `/${names.cgroup}/${machineId}`,
          cpuShares: 1024,
          canLimitSwap: false,
        },
        checkpointDir,
        { isUrgent: true },
      )
      const guest = new GuestClient(slot.address)
      await guest.waitUntilHealthy(HEALTHY_TIMEOUT_MS)
      guest.close()
    },
    checkpoint: (machineId, checkpointDir) => servers.checkpoint({ machineId, dir }, checkpointDir),
    async end(index) {
      await end(idOf(index))
      // prepares the namespace again, because runsc has removed the address from the interface
      slots.give(ready[index]!.index)
      ready[index] = await slots.take()
    },
    async close() {
      for (const machineId of await cgroups.children(names.cgroup)) await end(machineId)
      await cgroups.remove(names.cgroup)
      await slots.removeAll()
      await unmountState(join(dir, 'runsc'))
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Returns the folder with envd that the server's own machines mount. */
export function serversGuestDir(): string {
  const machines = join(home, 'run/machines')
  const id = readdirSync(machines)[0]
  const { mounts } = JSON.parse(readFileSync(join(machines, String(id), 'config.json'), 'utf8')) as {
    mounts: Array<{ destination: string; source: string }>
  }
  return mounts.find(({ destination }) => destination === '/opt/sandlot')!.source
}
