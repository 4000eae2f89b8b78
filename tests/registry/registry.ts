import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { ensureCrane } from './crane.ts'

const START_TIMEOUT_MS = 10_000

export interface Registry {
  /** `127.0.0.1:<port>`. */
  host: string
  /** Pushes an image of these layers, the lowest first. @param changes arguments of `crane mutate` */
  push(name: string, layers: string[], changes?: string[]): Promise<void>
  stop(): Promise<void>
}

/** Starts a real OCI registry on the first free one of these ports of the loopback. */
export async function startRegistry(ports: readonly number[]): Promise<Registry> {
  const crane = await ensureCrane(process.env.SANDLOT_CACHE ?? '/var/cache/sandlot')
  const disk = await mkdtemp(join(tmpdir(), 'sandlot-registry-'))
  const host = `127.0.0.1:${await freePort(ports)}`
  const server = spawn(crane, ['registry', 'serve', '--address', host, '--disk', disk], { stdio: 'ignore' })
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!(await fetch(`http://${host}/v2/`).catch(() => undefined))?.ok) {
    if (Date.now() > deadline) throw new Error('the registry does not answer')
    await sleep(50)
  }
  const run = (args: string[]) => promisify(execFile)(crane, args, { timeout: 60_000 })
  return {
    host,
    async push(name, layers, changes = []) {
      const image = `${host}/${name}`
      await run([
        'append',
        '--platform',
        'linux/amd64',
        ...layers.flatMap((layer) => ['-f', layer]),
        '-t',
        image,
      ])
      await run(['mutate', '--set-platform', 'linux/amd64', ...changes, image, '-t', image])
    },
    async stop() {
      const ended = once(server, 'exit')
      server.kill()
      await ended
      await rm(disk, { recursive: true, force: true })
    },
  }
}

async function freePort(ports: readonly number[]): Promise<number> {
  for (const port of ports) {
    const probe = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
  throw new Error(`none of the ports ${ports.join(', ')} is free`)
}
