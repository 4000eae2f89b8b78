import { writeFile } from 'node:fs/promises'
import { run } from '../host/run.ts'
import type { InstanceNames } from '../instance-names.ts'
import type { AddressRange } from './address-range.ts'
import type { HostNetworks } from './host-networks.ts'
import { DROP_ALL, slotProgram } from './slot-program.ts'

const TC_TIMEOUT_MS = 20_000

export interface SlotFiltersOptions {
  names: InstanceNames
  range: AddressRange
  allowedRanges?: readonly string[]
  host: () => HostNetworks
  onError: (error: unknown) => void
}

/**
 * The second layer of isolation, on each veth, which is effective even while the nftables table is gone. A `tc` program
 * limits which packets may leave, and the interface's forwarding switch decides whether any may.
 */
export class SlotFilters {
  readonly #options: SlotFiltersOptions
  #isUnavailable = false

  constructor(options: SlotFiltersOptions) {
    this.#options = options
  }

  /** Attaches the current program to the veths of these slots, in place of an earlier one. */
  async attach(indexes: readonly number[]): Promise<void> {
    if (indexes.length === 0 || this.#isUnavailable) return
    const { names, range, allowedRanges = [], host, onError } = this.#options
    const hostNow = host()
    const commands = indexes.map((index) => {
      const program = slotProgram({ ...range.slot(index), range: range.cidr, host: hostNow, allowedRanges })
      return filterCommands(`${names.vethPrefix}${index}`, program)
    })
    try {
      await run('tc', ['-batch', '-'], { input: commands.join(''), timeoutMs: TC_TIMEOUT_MS })
    } catch (cause) {
      if (!/classifier not found|No such file or directory|ENOENT/i.test(String(cause))) throw cause
      // the nftables table isolates without it; `sandlot doctor` reports what the kernel lacks
      this.#isUnavailable = true
      onError(
        new Error(
          'this machine cannot filter with tc: without the nftables table only the forwarding switch isolates sandboxes',
          { cause },
        ),
      )
    }
  }
}

/**
 * Returns idempotent commands for `tc -batch` that attach a program to an interface. A second filter drops every packet
 * that the program does not accept, even if the program ends early.
 */
export function filterCommands(interfaceName: string, program: string): string {
  const filter = `filter replace dev ${interfaceName} ingress handle 1 protocol all`
  return `qdisc replace dev ${interfaceName} clsact
${filter} pref 2 bpf da bytecode "${DROP_ALL}"
${filter} pref 1 bpf bytecode "${program}" flowid 1:1
`
}

/** Switches forwarding of packets from an interface on or off, independently of the firewall. */
export const setForwarding = (interfaceName: string, isOn: boolean): Promise<void> =>
  writeFile(`/proc/sys/net/ipv4/conf/${interfaceName}/forwarding`, isOn ? '1' : '0')
