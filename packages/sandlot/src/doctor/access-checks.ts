import { dirname, join } from 'node:path'
import { withoutCredentials } from '@sandlot/protocol'
import type { Config } from '../config.ts'
import type { Verdict } from './finding.ts'
import { type HostFiles, hostFiles } from './host-files.ts'

const STICKY = 0o1000
const OTHERS = 0o077
const OTHERS_WRITE = 0o022
/** Files of a home that contain keys. */
const SECRETS = ['env', 'db.sqlite', 'bucket.key', 'secrets.key', 'ca/ca.key']

export function listenAddress({ listen, sandboxListen }: Pick<Config, 'listen' | 'sandboxListen'>): Verdict {
  const open = [listen, sandboxListen].flatMap((address) =>
    address && !address.hosts.every(isLoopback) ? [`${address.hosts[0]}:${address.port}`] : [],
  )
  if (open.length === 0) return { status: 'ok', detail: 'this machine only' }
  return {
    status: 'warning',
    detail: `${open.join(' and ')} can be reached from outside, and answers plain HTTP as well as TLS: keys may cross the network unencrypted`,
    mend: 'listen on 127.0.0.1 behind a proxy that speaks TLS; or firewall the port and give out https:// addresses only',
  }
}

export function bucketTransport({ settings }: Pick<Config, 'settings'>): Verdict {
  const { checkpointBucket, checkpointEndpoint } = settings
  if (checkpointBucket === '') return { status: 'ok', detail: 'no bucket' }
  const endpoint = URL.parse(checkpointEndpoint)
  const shown = withoutCredentials(checkpointEndpoint)
  if (endpoint?.protocol !== 'http:' || isLoopback(endpoint.hostname))
    return { status: 'ok', detail: shown || 'Amazon S3, TLS' }
  return {
    status: 'warning',
    detail: `${shown} is plain HTTP: objects are sealed, but anybody on the path can see names and sizes, suppress answers or replay old ones`,
    mend: 'set an https:// checkpointEndpoint',
  }
}

/** Checks access to the home, which contains keys, tokens and memory of sandboxes. */
export function homeAccess(
  { settings: { home } }: { settings: Pick<Config['settings'], 'home'> },
  files: HostFiles = hostFiles,
): Verdict {
  const own = files.ownerAndMode(home)
  const mend = `chown root ${home} && chmod 700 ${home}, in a folder that only root can write`
  const readable = [home, ...SECRETS.map((name) => join(home, name))].filter((path) => {
    const found = files.ownerAndMode(path)
    return found && (found.mode & OTHERS) !== 0
  })
  // when no other user may enter the home, the modes of its files do not matter
  if (own && readable.includes(home))
    return { status: 'warning', detail: `others may look into ${readable.join(', ')}`, mend }
  const owners = new Set([0, process.getuid?.()])
  for (let path = dirname(home); ; path = dirname(path)) {
    const found = files.ownerAndMode(path)
    const isOthers =
      found && (!owners.has(found.uid) || ((found.mode & OTHERS_WRITE) !== 0 && !(found.mode & STICKY)))
    if (isOthers)
      return {
        status: 'warning',
        detail: `others can write to ${path}, so they can replace the home with another folder`,
        mend,
      }
    if (path === dirname(path)) break
  }
  return { status: 'ok', detail: own ? `${home}, root only` : `${home} will be created for root only` }
}

/** Checks for user namespaces, in which the kernels of sandboxes run. */
export function userNamespaces(_config?: Config, files: HostFiles = hostFiles): Verdict {
  const max = files.read('/proc/sys/user/max_user_namespaces')
  if (!files.list('/proc/self/ns').includes('user'))
    return {
      status: 'warning',
      detail: 'not in this kernel: the kernel of a sandbox, gVisor, has more rights here than it needs',
      mend: 'use a kernel with CONFIG_USER_NS',
    }
  if (max === '0')
    return {
      status: 'warning',
      detail: 'none allowed: the kernel of a sandbox, gVisor, has more rights here than it needs',
      mend: 'sysctl -w user.max_user_namespaces=10000',
    }
  return { status: 'ok', detail: `at most ${max ?? 'any number'}` }
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127\./.test(host)
