import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  currentByHost,
  currentByUrl,
  describeClients,
  eachNewClient,
  server,
  sharedSandbox,
} from './official.ts'

const MiB = 1024 * 1024
/** How much the server's and envd's memory may grow while a file of at least twice that size passes through. */
const GROWTH_LIMIT_BYTES = 96 * MiB

const residentBytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024

/** Runs the body and returns how much the process grew at most. */
async function growthDuring(pid: number, body: () => Promise<void>): Promise<number> {
  const before = residentBytes(pid)
  let peak = before
  const timer = setInterval(() => {
    peak = Math.max(peak, residentBytes(pid))
  }, 100)
  try {
    await body()
  } finally {
    clearInterval(timer)
  }
  return peak - before
}

/** Bytes that do not repeat within a chunk and differ from chunk to chunk, hashed as they are read. */
function patterned(sizeBytes: number): { stream: ReadableStream<Uint8Array>; digest: () => string } {
  const hash = createHash('sha256')
  const block = Buffer.alloc(MiB)
  for (let i = 0; i < MiB; i += 4) block.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i)
  let sent = 0
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (sent === sizeBytes) return controller.close()
        const chunk = Buffer.from(block)
        chunk.writeUInt32LE(sent / MiB, 0)
        hash.update(chunk)
        sent += chunk.length
        controller.enqueue(chunk)
      },
    },
    { highWaterMark: 2 },
  )
  return { stream, digest: () => hash.digest('hex') }
}

describeClients(
  'a large file',
  (client) => {
    const sandbox = sharedSandbox(client)
    const path = '/home/user/large.bin'
    // the others show it with less, as each gigabyte takes about a minute
    const sizeBytes = client === currentByHost ? 512 * MiB : 2 * GROWTH_LIMIT_BYTES
    const envdResidentBytes = async () => {
      const { stdout } = await sandbox().commands.run(`awk '/VmRSS/ {print $2}' /proc/1/status`)
      return Number(stdout) * 1024
    }
    let digest = ''

    test('is streamed up in constant memory', async () => {
      const source = patterned(sizeBytes)
      const envdBefore = await envdResidentBytes()
      const growth = await growthDuring(server.pid, async () => {
        await sandbox().files.write(path, source.stream, { requestTimeoutMs: 280_000 })
      })
      digest = source.digest()
      expect(growth).toBeLessThan(GROWTH_LIMIT_BYTES)
      expect((await envdResidentBytes()) - envdBefore).toBeLessThan(GROWTH_LIMIT_BYTES)
      expect((await sandbox().files.getInfo(path)).size).toBe(sizeBytes)
      const { stdout } = await sandbox().commands.run(`sha256sum ${path}`, { timeoutMs: 120_000 })
      expect(stdout.split(' ')[0]).toBe(digest)
    }, 400_000)

    test('is streamed down in constant memory', async () => {
      const hash = createHash('sha256')
      const envdBefore = await envdResidentBytes()
      const growth = await growthDuring(server.pid, async () => {
        const stream = await sandbox().files.read(path, { format: 'stream' })
        for await (const chunk of stream) hash.update(chunk)
      })
      expect(hash.digest('hex')).toBe(digest)
      expect(growth).toBeLessThan(GROWTH_LIMIT_BYTES)
      expect((await envdResidentBytes()) - envdBefore).toBeLessThan(GROWTH_LIMIT_BYTES)
    }, 400_000)

    test('that is read slowly is not buffered in the server', async () => {
      const growth = await growthDuring(server.pid, async () => {
        const stream = await sandbox().files.read(path, { format: 'stream' })
        const reader = stream.getReader()
        await reader.read()
        await new Promise((resolve) => setTimeout(resolve, 3_000))
        await reader.cancel()
      })
      expect(growth).toBeLessThan(GROWTH_LIMIT_BYTES)
      expect((await sandbox().commands.run('echo alive')).stdout).toBe('alive\n')
    }, 60_000)
  },
  eachNewClient,
)

describeClients(
  'a gigabyte of output',
  (client) => {
    const sandbox = sharedSandbox(client)

    test('streams through server and envd in constant memory when the client discards it', async () => {
      const envd = async () =>
        Number((await sandbox().commands.run(`awk '/VmRSS/ {print $2}' /proc/1/status`)).stdout) * 1024
      const before = await envd()
      const growth = await growthDuring(server.pid, async () => {
        const handle = await sandbox().commands.run('head -c 1G /dev/zero | tr "\\0" x >&2; echo done', {
          background: true,
          timeoutMs: 0,
        })
        // Clients keep all output in memory, so they disconnect before the gigabyte has arrived.
        await new Promise((resolve) => setTimeout(resolve, 2_000))
        await handle.disconnect()
        await sandbox().commands.kill(handle.pid)
      })
      expect(growth).toBeLessThan(GROWTH_LIMIT_BYTES)
      expect((await envd()) - before).toBeLessThan(GROWTH_LIMIT_BYTES)
    }, 60_000)
  },
  [currentByUrl],
)
