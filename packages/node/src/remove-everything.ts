import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { GvisorDriver, unmountState } from './engine/gvisor-driver.ts'
import { holdNames, releaseNames } from './held-names.ts'
import { Cgroups } from './machines/cgroups.ts'
import { Machines } from './machines/machines.ts'
import { parseAddressRange } from './network/address-range.ts'
import { Firewall } from './network/firewall.ts'
import { SlotPool } from './network/slots.ts'
import { openVolumeBindings } from './volumes/open-volume-bindings.ts'

/**
 * Ends every machine of the instance and removes its namespaces, cgroups, mounts, firewall table and run folder.
 * Keeps the database, images and checkpoints, and gives up the home's names. The server must not be running.
 */
export async function removeEverything(home: string): Promise<void> {
  // never those of another home
  const names = await holdNames(home)
  const runDir = join(home, 'run')
  const range = parseAddressRange('10.0.0.0/12')
  const ignore = () => {}
  const slots = new SlotPool({ names, range, maxSlots: range.slotCount, onError: ignore })
  slots.close()
  const driver = new GvisorDriver({ runscPath: 'runsc', version: '', stateDir: join(runDir, 'runsc') })
  const firewall = new Firewall({
    names,
    range: range.cidr,
    dns: '127.0.0.1',
    maxConnections: 0,
    host: () => ({ addresses: [], networks: [] }),
    onDoubt: ignore,
    onError: ignore,
  })
  const machines = new Machines({
    names,
    runDir,
    guestDir: '',
    driver,
    cgroups: new Cgroups(),
    slots,
    firewall,
    volumes: openVolumeBindings({ names, onError: ignore }),
    onError: ignore,
  })
  await machines.removeAll()
  await slots.removeAll()
  await firewall.remove().catch(ignore)
  await unmountState(join(runDir, 'runsc'))
  await rm(runDir, { recursive: true, force: true })
  await releaseNames(home, names)
}
