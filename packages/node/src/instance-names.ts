import { createHash } from 'node:crypto'

/**
 * Names of everything that one instance owns on this machine. Two instances (two homes) never share a name, so that
 * neither can affect resources of the other.
 */
export interface InstanceNames {
  /** 4 hex characters, derived from the home's path. */
  instance: string
  /** nftables table, family inet. */
  nftTable: string
  /** Prefix of the host side of every veth; with the slot number at most 15 characters. */
  vethPrefix: string
  netnsPrefix: string
  /** Path below the root of each cgroup hierarchy. */
  cgroup: string
}

/** Whether a network interface is the host's side of a slot, of any instance. */
export const isSlotInterface = (name: string): boolean => /^sl[0-9a-f]{4}-\d+$/.test(name)

export function namesFor(home: string): InstanceNames {
  const instance = createHash('sha256').update(home).digest('hex').slice(0, 4)
  return {
    instance,
    nftTable: `sandlot_${instance}`,
    vethPrefix: `sl${instance}-`,
    netnsPrefix: `sandlot-${instance}-`,
    cgroup: `sandlot-${instance}`,
  }
}
