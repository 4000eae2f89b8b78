import { type ChildProcess, spawn } from 'node:child_process'
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMissing } from '../host/disk-errors.ts'
import { run } from '../host/run.ts'
import type { S3StoreOptions } from '../objects/s3-store.ts'

const VERSION = 'v1.8.0'
const CACHE = process.env.SANDLOT_TEST_TOOLS ?? '/var/cache/sandlot/test-tools'
const BUILD_TIMEOUT_MS = 10 * 60_000
const START_TIMEOUT_MS = 20_000
const ACCESS_KEY = 'test-access'
const SECRET_KEY = 'test-secret'

/** A real S3 server for tests: versitygw with a folder as storage. */
export interface S3Server {
  options: S3StoreOptions
  /** Folder of the bucket: objects are files. */
  bucketDir: string
  start(): Promise<void>
  /** Kills the server, with all connections. */
  kill(): Promise<void>
}

/** Where the server listens. */
interface Place {
  /** Default: 127.0.0.1. */
  address?: string
  /** Network namespace that has the address. Default: that of this process. */
  namespace?: string
}

/** Builds the server on first use (Go, half a minute). @param dir temporary folder for its buckets */
export async function createS3Server(
  dir: string,
  { address = '127.0.0.1', namespace }: Place = {},
): Promise<S3Server> {
  const executable = await installed()
  const port = await freePort()
  const bucketsDir = join(dir, 'buckets')
  const bucketDir = join(bucketsDir, 'sandboxes')
  await mkdir(bucketDir, { recursive: true })
  const endpoint = `http://${address}:${port}`
  let child: ChildProcess | undefined

  return {
    bucketDir,
    options: {
      bucket: 'sandboxes',
      endpoint,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    },

    async start() {
      const credentials = ['--access', ACCESS_KEY, '--secret', SECRET_KEY]
      const [program, ...words] = [
        ...(namespace ? ['ip', 'netns', 'exec', namespace] : []),
        ...[executable, ...credentials, '--port', `${address}:${port}`, '--quiet', 'posix', bucketsDir],
      ]
      const own = spawn(program!, words, { stdio: 'ignore' })
      child = own
      const deadline = Date.now() + START_TIMEOUT_MS
      while (!(await answers(endpoint))) {
        if (own.exitCode !== null || Date.now() > deadline)
          throw new Error(`versitygw did not start at ${endpoint} (exit code ${own.exitCode})`)
        await sleep(20)
      }
    },

    async kill() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return
      const exited = new Promise((resolve) => child!.once('exit', resolve))
      child.kill('SIGKILL')
      await exited
    },
  }
}

const answers = (endpoint: string): Promise<boolean> =>
  fetch(endpoint, { signal: AbortSignal.timeout(1000) }).then(
    () => true,
    () => false,
  )

async function installed(): Promise<string> {
  const folder = join(CACHE, `versitygw-${VERSION}`)
  const executable = join(folder, 'versitygw')
  try {
    await access(executable)
    return executable
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  await mkdir(CACHE, { recursive: true })
  const unfinished = await mkdtemp(join(CACHE, '.unfinished-'))
  try {
    await run('go', ['install', `github.com/versity/versitygw/cmd/versitygw@${VERSION}`], {
      timeoutMs: BUILD_TIMEOUT_MS,
      env: { ...process.env, GOBIN: unfinished, CGO_ENABLED: '0' },
    })
    await rename(unfinished, folder)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    // two test files that start concurrently both build the server; the last rename wins
    await access(executable).catch(() => {
      throw error
    })
  }
  return executable
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
