import { readFileSync } from 'node:fs'
import { Sandbox } from 'e2b-official'
import { expect, test } from 'vitest'
import { guest, server } from './guest.ts'

const fake = readFileSync(new URL('fake-envd.py', import.meta.url), 'utf8')
/** The server's own deadline for one question is 10 s; the rest is the copy itself, on a busy machine. */
const DEADLINE_MS = 30_000
const MAX_GROWTH_MB = 64
const other = guest()

const residentMB = (): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024

/** Durations of commands in another sandbox, run one after the other until `end`. */
function watchOther(): { end: () => Promise<number> } {
  const times: number[] = []
  let isOver = false
  const running = (async () => {
    while (!isOver) {
      const start = performance.now()
      await other().commands.run('true')
      times.push(performance.now() - start)
    }
  })()
  return {
    async end() {
      isOver = true
      await running
      return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!
    },
  }
}

async function calmLatency(): Promise<number> {
  const watch = watchOther()
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  return watch.end()
}

test.each([
  'body',
  'one-byte-chunks',
  'headers',
  'one-header',
  'trailers',
  'interim',
  'continue',
  'upgrade',
  'garbage',
  'slow',
])('a guest that answers in envd’s place with %s does not affect others', async (mode) => {
  const sandbox = await Sandbox.create({ timeoutMs: 300_000 })
  try {
    await sandbox.files.write('/tmp/fake-envd.py', fake, { user: 'root' })
    // in a session of its own, so that it outlives the command, and delayed, so that the command ends first
    const taken = await sandbox.commands.run(
      `setsid sh -c 'sleep 1; exec python3 /tmp/fake-envd.py ${mode}' > /tmp/fake.log 2>&1 < /dev/null & echo started`,
      { user: 'root' },
    )
    expect(taken.stdout).toBe('started\n')
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    const calmMs = await calmLatency()
    const before = residentMB()
    let highest = before
    const sampling = setInterval(() => (highest = Math.max(highest, residentMB())), 50)
    const watch = watchOther()
    const start = performance.now()
    const response = await fetch(`${server.env.E2B_API_URL}/sandboxes/${sandbox.sandboxId}/fork`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': server.env.E2B_API_KEY! },
      body: JSON.stringify({ count: 1 }),
      signal: AbortSignal.timeout(60_000),
    })
    const text = await response.text()
    const tookMs = performance.now() - start
    clearInterval(sampling)
    const meanwhileMs = await watch.end()
    expect(text, 'the fake was asked').toMatch(/envd at [\d.]+ did not answer POST \/init/)
    expect(text.length).toBeLessThan(1_000)
    expect(tookMs).toBeLessThan(DEADLINE_MS)
    expect(highest - before).toBeLessThan(MAX_GROWTH_MB)
    expect(meanwhileMs).toBeLessThan(Math.max(3 * calmMs, calmMs + 100))
  } finally {
    await sandbox.kill()
  }
})
