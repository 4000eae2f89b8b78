import { readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'

/** Finds the first IPv4 resolver of the host that is not a loopback stub. */
export function hostResolver(): string | undefined {
  for (const file of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    try {
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        const address = /^nameserver\s+(\S+)/.exec(line)?.[1]
        if (address && isIPv4(address) && !address.startsWith('127.')) return address
      }
    } catch {}
  }
  return undefined
}
