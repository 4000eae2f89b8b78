import { type ChildProcess, spawn } from 'node:child_process'
import { getServers } from 'node:dns'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { type Addresses, addressesOf, linkOf, rangeOfBlock } from './addresses.ts'
import { claimBlock, folderOf, ip, namespaceOf, nft, releaseBlock } from './block.ts'
import { makeCertificate } from './certificate.ts'
import { certificateNames, zoneOf } from './services/zone.ts'

const START_TIMEOUT_MS = 30_000
const program = fileURLToPath(new URL('program.ts', import.meta.url))

/** What tests need of an internet; plain data, so that vitest can hand it to workers. See `InternetControl`. */
export interface InternetInfo {
  addresses: Addresses
  /** CIDR of all its public addresses. */
  range: string
  namespace: string
  /** PEM of the authority of all its certificates. */
  caFile: string
  /** PEM of that authority and of all that the machine trusts, for `NODE_EXTRA_CA_CERTS`. */
  caBundleFile: string
  /** Unix socket. */
  controlSocket: string
  /** Files in this folder are served at `/files/`. */
  filesFolder: string
}

export interface Internet extends InternetInfo {
  close(): Promise<void>
}

/** Plain data of an internet. */
export const infoOf = ({ close, ...info }: Internet): InternetInfo => info

/** What makes a server take an internet for the real one: flags of `sandlot up`, and environment. */
export const settingsFor = ({ addresses, range, caBundleFile }: InternetInfo) => ({
  flags: ['--dns', addresses.dns, '--allowed-ranges', range],
  env: { NODE_EXTRA_CA_CERTS: caBundleFile },
})

/**
 * Makes an internet of its own: a network namespace with addresses for documentation, which the machine reaches through a
 * pair of interfaces, with a name server, web servers, echo services and SOCKS5 servers. Several may exist at a time. What
 * a crashed run left is removed by a later run.
 */
export async function openInternet(): Promise<Internet> {
  const block = await claimBlock()
  let child: ChildProcess | undefined
  const close = async () => {
    if (child && child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    }
    await releaseBlock(block)
  }
  try {
    const folder = folderOf(block)
    const filesFolder = join(folder, 'files')
    await mkdir(filesFolder, { recursive: true })
    const addresses = addressesOf(block)
    const [caFile] = await Promise.all([
      makeCertificate(folder, certificateNames(zoneOf(addresses)), Object.values(addresses)),
      connect(block, addresses),
    ])
    child = await serve(block, folder, filesFolder)
    return {
      addresses,
      range: rangeOfBlock(block),
      namespace: namespaceOf(block),
      caFile,
      caBundleFile: await bundle(folder, caFile),
      controlSocket: join(folder, 'control.sock'),
      filesFolder,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function connect(block: number, { blackhole, private: _, ...served }: Addresses): Promise<void> {
  const namespace = namespaceOf(block)
  const { near, far } = linkOf(block)
  const inside = (...args: string[]) => ip('-n', namespace, ...args)
  await ip('link', 'add', namespace, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
  await ip('addr', 'add', `${near}/30`, 'dev', namespace)
  await ip('link', 'set', namespace, 'up')
  await inside('addr', 'add', `${far}/30`, 'dev', 'eth0')
  await inside('link', 'set', 'eth0', 'up')
  await inside('link', 'set', 'lo', 'up')
  await inside('route', 'add', 'default', 'via', near)
  await inside('route', 'add', 'blackhole', blackhole)
  for (const address of Object.values(served)) await inside('addr', 'add', `${address}/32`, 'dev', 'lo')
  for (const address of [...Object.values(served), blackhole])
    await ip('route', 'add', `${address}/32`, 'via', far)
  // for queries of names outside the zone, which go to the resolver of this machine
  await nft(`
table ip ${namespace} {
  chain outgoing {
    type nat hook postrouting priority srcnat
    ip saddr ${far} masquerade
  }
}`)
  // `ip netns exec` mounts it over /etc/resolv.conf, which microsocks reads
  await mkdir(join('/etc/netns', namespace), { recursive: true })
  await writeFile(join('/etc/netns', namespace, 'resolv.conf'), `nameserver ${served.dns}\n`)
}

async function serve(block: number, folder: string, filesFolder: string): Promise<ChildProcess> {
  const upstream = getServers()[0] ?? '127.0.0.1'
  const args = [process.execPath, '--disable-warning=ExperimentalWarning', program]
  const child = spawn('ip', ['netns', 'exec', namespaceOf(block), ...args, folder, String(block), upstream], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, INTERNET_FILES: filesFolder },
  })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the test internet ended with ${code} before it was ready`)
  })
  await Promise.race([once(child.stdout!, 'data', { signal: AbortSignal.timeout(START_TIMEOUT_MS) }), ended])
  ended.catch(() => {})
  return child
}

async function bundle(folder: string, caFile: string): Promise<string> {
  const file = join(folder, 'bundle.pem')
  const { NODE_EXTRA_CA_CERTS: extra } = process.env
  const trusted = extra ? await readFile(extra, 'utf8').catch(() => '') : ''
  await writeFile(file, [...rootCertificates, trusted, await readFile(caFile, 'utf8')].join('\n'))
  return file
}
