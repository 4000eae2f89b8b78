import { lookup } from 'node:dns/promises'
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { run } from '@sandlot/node/host/run'
import { firewallFault } from '@sandlot/node/network/firewall-fault'
import { filterCommands } from '@sandlot/node/network/slot-filters'
import type { Config } from '../config.ts'
import { checkListen } from '../listen-check.ts'
import { findServer } from '../server-lock.ts'
import { allTools, isPresent } from '../setup/debian-tools.ts'
import type { Verdict } from './finding.ts'

const NEEDED_DISK_GB = 4
const COMFORTABLE_DISK_GB = 15

export async function nftables(): Promise<Verdict> {
  const nft = allTools().find((tool) => tool.package === 'nftables')!
  if (!isPresent(nft))
    return {
      status: 'warning',
      detail: 'nft is not installed',
      mend: 'npm start installs it (apt-get install nftables)',
    }
  if (process.getuid?.() !== 0) return { status: 'warning', detail: 'installed; not tried without root' }
  try {
    // The check flag uses the kernel's own parser and changes nothing.
    const rules = `table inet sandlot_doctor {
      chain postrouting {
        type nat hook postrouting priority 100
        masquerade
      }
    }\n`
    await run('nft', ['-c', '-f', '-'], { input: rules, timeoutMs: 5000 })
    return (await canDivert())
      ? { status: 'ok', detail: 'accepts NAT rules, and TPROXY for network rules with names' }
      : {
          status: 'warning',
          detail: 'accepts NAT rules; network rules with names, transforms or a proxy are refused',
          mend: 'load nft_tproxy, or use a kernel that has it',
        }
  } catch (error) {
    return {
      status: 'failed',
      detail: (error as Error).message,
      mend: 'load nf_tables and nft_masq, or use a kernel that has them',
    }
  }
}

/** Whether connections can be sent to the egress proxy. */
async function canDivert(): Promise<boolean> {
  const rules = `table inet sandlot_doctor {
    chain diversion {
      type filter hook prerouting priority mangle
      meta l4proto tcp tproxy ip to 127.0.0.1:1 meta mark set 1 accept
    }
  }\n`
  return run('nft', ['-c', '-f', '-'], { input: rules, timeoutMs: 5000 }).then(
    () => true,
    () => false,
  )
}

/** Checks the firewall table of a running server; without the table sandboxes are frozen. */
export async function firewall({ settings }: Config): Promise<Verdict> {
  if (!findServer(settings.home)) return { status: 'ok', detail: 'no server runs, so no table is needed' }
  if (process.getuid?.() !== 0) return { status: 'warning', detail: 'cannot be checked without root' }
  const fault = await firewallFault(settings.home)
  if (!fault) return { status: 'ok', detail: "the server's table is in force" }
  return {
    status: 'failed',
    detail: `sandboxes are frozen: ${fault}`,
    mend: 'the server installs the table again by itself; if it disappears again, find the program that flushes it (systemctl reload nftables does) and make it leave tables named sandlot_* alone',
  }
}

/** Checks the filters on each sandbox's link, which work even when the table is gone. */
export async function linkFilters(): Promise<Verdict> {
  if (process.getuid?.() !== 0) return { status: 'warning', detail: 'not tried without root' }
  // any program works for this check, e.g. one that lets every packet pass
  const program = filterCommands('sandlot0', '1,6 0 0 4294967295')
  const script = `ip link add sandlot0 type veth peer name sandlot1 && ip link set sandlot0 up && tc -batch - <<'END'\n${program}END\n`
  try {
    await run('unshare', ['--net', 'sh', '-c', script], { timeoutMs: 5000 })
    return { status: 'ok', detail: 'tc accepts BPF programs' }
  } catch (error) {
    return {
      status: 'warning',
      detail: `without them only the nftables table and the forwarding switch isolate sandboxes: ${(error as Error).message}`,
      mend: 'install iproute2 (tc), load sch_ingress and cls_bpf, or use a kernel that has them',
    }
  }
}

export function ipForward(): Verdict {
  const file = '/proc/sys/net/ipv4/ip_forward'
  if (existsSync(file) && readFileSync(file, 'utf8').trim() === '1') return { status: 'ok', detail: 'on' }
  return {
    status: 'warning',
    detail: 'off',
    mend: 'npm start switches it on; to do it yourself: sysctl -w net.ipv4.ip_forward=1',
  }
}

export function diskSpace({ settings }: Config): Verdict {
  const folder = nearestExisting(settings.home)
  const { bavail, bsize } = statfsSync(folder)
  const freeGB = (bavail * bsize) / 1e9
  const detail = `${freeGB.toFixed(1)} GB free for ${settings.home}`
  const mend = `free some space, or choose another --home: the base image takes 2 GB, each sandbox up to ${settings.diskSizeMB} MB`
  if (freeGB < NEEDED_DISK_GB) return { status: 'failed', detail, mend }
  if (freeGB < COMFORTABLE_DISK_GB) return { status: 'warning', detail, mend }
  return { status: 'ok', detail }
}

function nearestExisting(path: string): string {
  let folder = path
  while (!existsSync(folder)) folder = dirname(folder)
  return folder
}

export async function port({ settings, listen, sandboxListen }: Config): Promise<Verdict> {
  const server = findServer(settings.home)
  if (server?.listen === settings.listen)
    return {
      status: 'ok',
      detail: `${settings.listen} is used by the server of this home (pid ${server.pid})`,
    }
  try {
    await checkListen(listen)
    if (sandboxListen) await checkListen(sandboxListen, 'sandbox-listen')
    const both = [settings.listen, ...(sandboxListen ? [settings.sandboxListen] : [])].join(' and ')
    return { status: 'ok', detail: `${both} ${sandboxListen ? 'are' : 'is'} free` }
  } catch (error) {
    return {
      status: 'failed',
      detail: (error as Error).message,
      mend: 'choose another: --listen 127.0.0.1:3001',
    }
  }
}

/** Checks that getaddrinfo resolves `<port>-<id>.<domain>`, because otherwise clients cannot reach sandboxes. */
export async function nameResolution({ settings, listen, sandboxListen }: Config): Promise<Verdict> {
  const name = `x.${settings.domain.split(':')[0]}`
  try {
    const addresses = (await lookup(name, { all: true })).map((entry) => entry.address)
    const isLoopback = (address: string) => address === '::1' || address.startsWith('127.')
    const detail = `${name} → ${addresses.join(', ')}`
    if (!name.endsWith('.localhost') || addresses.every(isLoopback)) return { status: 'ok', detail }
    return {
      status: 'warning',
      detail,
      mend: 'the name should resolve to the loopback address: install libnss-myhostname',
    }
  } catch (error) {
    const mend = name.endsWith('.localhost')
      ? 'npm start installs libnss-myhostname; in /etc/nsswitch.conf "myhostname" must be in the hosts line'
      : `create a DNS record *.${name.slice(2)} that points at ${listen.hosts[0]}`
    return {
      status: sandboxListen ? 'warning' : 'failed',
      detail: `${name} does not resolve (${(error as NodeJS.ErrnoException).code}): ${sandboxListen ? 'getHost() URLs will not work, the SDK calls do' : 'clients on this machine cannot reach sandboxes'}`,
      mend: sandboxListen ? mend : `${mend}; or set sandboxListen`,
    }
  }
}
