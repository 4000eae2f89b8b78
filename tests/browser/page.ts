// A user's program as it runs in the browser, bundled, with no dependency but the package.
import { FileNotFoundError, Sandbox, type SandboxOpts } from 'e2b'

export interface Report {
  /** Each piece of output, with the time at which it arrived. */
  pieces: { text: string; atMs: number }[]
  endedAtMs: number
  stdout: string
  fileText: string
  streamedBytes: number
  written: string
  missing: boolean
  listed: boolean
  isRunning: boolean[]
}

async function visit(opts: SandboxOpts): Promise<Report> {
  const sandbox = await Sandbox.create(opts)
  const startedMs = performance.now()
  const pieces: Report['pieces'] = []
  const { stdout } = await sandbox.commands.run('for i in 1 2 3; do echo piece $i; sleep 0.4; done', {
    onStdout: (text) => {
      pieces.push({ text, atMs: performance.now() - startedMs })
      document.body.append(text)
    },
  })
  const endedAtMs = performance.now() - startedMs
  await sandbox.files.write('greeting.txt', 'grüße aus dem browser')
  const fileText = await sandbox.files.read('greeting.txt')
  const uploaded = await sandbox.files.write('stream.bin', new Blob([new Uint8Array(300_000)]).stream())
  let streamedBytes = 0
  const reader = (await sandbox.files.read('stream.bin', { format: 'stream' })).getReader()
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
    streamedBytes += chunk.value.length
  const missing = await sandbox.files.read('nowhere').then(
    () => false,
    (error) => error instanceof FileNotFoundError,
  )
  const page = await Sandbox.list({ ...opts, limit: 1 }).nextItems()
  const before = await sandbox.isRunning()
  await sandbox.kill()
  const after = await sandbox.isRunning()
  return {
    pieces,
    endedAtMs,
    stdout,
    fileText,
    streamedBytes,
    written: uploaded.path,
    missing,
    listed: page.length === 1,
    isRunning: [before, after],
  }
}

Object.assign(globalThis, { visit })
