import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'

const ip = async (...args: string[]): Promise<void> => {
  await promisify(execFile)('ip', args, { timeout: 10_000 })
}

export interface Outside {
  /** A public address that exists only on this machine, in a network namespace of its own. */
  address: string
  port: number
  close: () => Promise<void>
}

const program = `require('node:http').createServer((request, response) => response.end('outside'))
  .listen(8080, () => console.log('listening'))`

/**
 * Stands for the internet: a namespace with a web server at a public address (of 11.0.0.0/8, which is
 * not announced in the internet), so that tests need no network and disturb none.
 */
export async function openOutside(): Promise<Outside> {
  const block = process.pid % 250
  const [near, address] = [`11.222.${block}.1`, `11.222.${block}.2`]
  const namespace = `outside-${process.pid}`
  const link = `out${process.pid}`
  const close = async () => {
    server?.kill('SIGKILL')
    await ip('link', 'del', link).catch(() => {})
    await ip('netns', 'del', namespace).catch(() => {})
  }
  let server: ReturnType<typeof spawn> | undefined
  try {
    await ip('netns', 'add', namespace)
    await ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
    await ip('addr', 'add', `${near}/30`, 'dev', link)
    await ip('link', 'set', link, 'up')
    await ip('-n', namespace, 'addr', 'add', `${address}/30`, 'dev', 'eth0')
    await ip('-n', namespace, 'link', 'set', 'eth0', 'up')
    await ip('-n', namespace, 'link', 'set', 'lo', 'up')
    await ip('-n', namespace, 'route', 'add', 'default', 'via', near)
    server = spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(server.stdout!, 'data', { signal: AbortSignal.timeout(10_000) })
    return { address, port: 8080, close }
  } catch (error) {
    await close()
    throw error
  }
}
