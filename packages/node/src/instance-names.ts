import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** High byte of the marks of all instances: 'S'. */
const MARK_PREFIX = 0x53_00_00_00

/**
 * Names of everything that one instance owns on this machine. Two instances (two homes) never share a name, so that
 * neither can affect resources of the other (`held-names.ts`).
 */
export interface InstanceNames {
  /** 4 hex characters. */
  instance: string
  /** nftables table, family inet. */
  nftTable: string
  /** Prefix of the host side of every veth; with the slot number at most 15 characters. */
  vethPrefix: string
  netnsPrefix: string
  /** Folder of the mounts of volumes. In `/run`, because nothing may remove it recursively. */
  mountsDir: string
  /** Path below the root of each cgroup hierarchy. */
  cgroup: string
  /**
   * Mark of packets and connections that go to the proxy, and number of the routing table that such packets are delivered
   * by. The bits 8 to 15 stay clear, as Kubernetes uses them.
   */
  mark: number
}

/** Whether a network interface is the host's side of a slot, of any instance. */
export const isSlotInterface = (name: string): boolean => /^sl[0-9a-f]{4}-\d+$/.test(name)

/** File of a home with the name that the home held last. */
export const nameFileOf = (home: string): string => join(home, 'short-name')

/**
 * Returns the names that a home held last, or would try first. Only `holdNames` makes sure that no other home has them, so
 * this is for reading about a running server, and for tests.
 */
export const namesFor = (home: string): InstanceNames => namesOf(recordedName(home) ?? hashedName(home))

/** @param instance 4 hex characters */
export function namesOf(instance: string): InstanceNames {
  const [high, low] = [instance.slice(0, 2), instance.slice(2)].map((hex) => Number.parseInt(hex, 16))
  return {
    instance,
    nftTable: `sandlot_${instance}`,
    vethPrefix: `sl${instance}-`,
    netnsPrefix: `sandlot-${instance}-`,
    mountsDir: `/run/sandlot-${instance}`,
    cgroup: `sandlot-${instance}`,
    mark: MARK_PREFIX + high! * 2 ** 16 + low!,
  }
}

const hashedName = (home: string): string => createHash('sha256').update(home).digest('hex').slice(0, 4)

/** Returns the name that a home held last; undefined when there is no record. */
export function recordedName(home: string): string | undefined {
  try {
    return /^[0-9a-f]{4}$/m.exec(readFileSync(nameFileOf(home), 'utf8'))?.[0]
  } catch {
    return undefined
  }
}
