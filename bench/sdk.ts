// Compares Sandlot's SDK with the official one, call by call in turn, on one server. See README.md.
import * as ours from 'e2b'
import * as official from 'e2b-official'
import { apiUrl, killAll, metadata, onExit } from './server.ts'
import { pause, report, round, summarize, timed } from './stats.ts'

const flag = (name: string, otherwise: number): number =>
  Number(process.argv[process.argv.indexOf(name) + 1]) || otherwise
const count = flag('--n', 50)
const largeCount = flag('--large', 5)
const MEBIBYTE = 2 ** 20

/** By host over TLS, HTTP/2 by ALPN; with `--by-url` to one URL in plain HTTP, with headers that name the sandbox. */
if (!process.argv.includes('--by-url')) {
  delete process.env.E2B_API_URL
  delete process.env.E2B_SANDBOX_URL
}

const sdks = { official: official.Sandbox, ours: ours.Sandbox as unknown as typeof official.Sandbox }
type Name = keyof typeof sdks
const names = Object.keys(sdks) as Name[]
type Work = (name: Name) => Promise<number>

await onExit()
const results: Record<string, unknown> = { api: process.env.E2B_API_URL ?? `by host, beside ${apiUrl}` }

/** Runs the work with each SDK in turn and alternates the order, so that neither has an advantage. */
async function compare(title: string, times: number, work: Work): Promise<void> {
  const measured: Record<Name, number[]> = { official: [], ours: [] }
  for (const name of names) await work(name)
  for (let round = 0; round < times; round++)
    for (const name of round % 2 === 0 ? names : names.toReversed()) measured[name].push(await work(name))
  const summaries = { official: summarize(measured.official), ours: summarize(measured.ours) }
  results[`${title}: official ms`] = summaries.official
  results[`${title}: ours ms`] = summaries.ours
  results[`${title}: ours / official p50`] = round(summaries.ours.p50 / summaries.official.p50)
}

const bytes = (size: number): ArrayBuffer => {
  const filled = new Uint8Array(size)
  for (let start = 0; start < size; start += 65_536)
    crypto.getRandomValues(filled.subarray(start, Math.min(size, start + 65_536)))
  return filled.buffer
}

/** A stream that repeats one chunk, so that the source costs nothing. */
const streamOf = (size: number): ReadableStream<Uint8Array> => {
  const chunk = new Uint8Array(bytes(MEBIBYTE))
  let left = size
  return new ReadableStream(
    {
      pull(controller) {
        if (left === 0) return controller.close()
        const piece = chunk.subarray(0, Math.min(left, chunk.length))
        left -= piece.length
        controller.enqueue(piece)
      },
    },
    { highWaterMark: 0 },
  )
}

try {
  await compare('create → run → kill', count, async (name) => {
    const [, ms] = await timed(async () => {
      const sandbox = await sdks[name].create({ metadata })
      await sandbox.commands.run('true')
      await sandbox.kill()
    })
    // lets the warm pool be refilled, so that the second SDK does not wait for a machine
    await pause(300)
    return ms
  })

  const kept = {
    official: await sdks.official.create({ metadata, timeoutMs: 3_600_000 }),
    ours: await sdks.ours.create({ metadata, timeoutMs: 3_600_000 }),
  }
  await compare('run in a sandbox that runs', count, async (name) => {
    const [, ms] = await timed(() => kept[name].commands.run('true'))
    return ms
  })

  const megabyte = bytes(MEBIBYTE)
  await compare('1 MB written and read', count, async (name) => {
    const [, ms] = await timed(async () => {
      await kept[name].files.write('megabyte', megabyte)
      const read = await kept[name].files.read('megabyte', { format: 'bytes' })
      if (read.length !== MEBIBYTE) throw new Error(`${read.length} bytes came back`)
    })
    return ms
  })

  await compare('100 MB streamed up and down', largeCount, async (name) => {
    const size = 100 * MEBIBYTE
    const [, ms] = await timed(async () => {
      await kept[name].files.write('large', streamOf(size), { requestTimeoutMs: 120_000 })
      let received = 0
      for await (const chunk of await kept[name].files.read('large', { format: 'stream' }))
        received += chunk.length
      if (received !== size) throw new Error(`${received} bytes came back`)
    })
    return ms
  })
  report('sdk', results)
} finally {
  await killAll()
}
process.exit(0)
