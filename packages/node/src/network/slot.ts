/** A prepared network namespace with its veth and address. */
export interface Slot {
  index: number
  netnsPath: string
  /** Name of the veth on the host's side. */
  interfaceName: string
  /** IPv4 address of the sandbox inside, reachable from the host. */
  address: string
}
