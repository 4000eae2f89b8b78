import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { currentByHost, fetchWithin, server, useEnvironment } from '../conformance/official.ts'
import { pythonWith } from '../conformance/python/venv.ts'
import { type ScriptedLlm, startScriptedLlm } from '../llm/server.ts'

// The SDK and its model run in this process; only the sandboxes are on the server.
const VERSION = '0.24.0'
const EXAMPLE_TIMEOUT_MS = 240_000
const examples = join(import.meta.dirname, '../../examples/openai-agents')

let llm: ScriptedLlm
let python: string
beforeAll(async () => {
  useEnvironment(currentByHost)
  llm = await startScriptedLlm()
  python = await pythonWith(`openai-agents-${VERSION}`, [`openai-agents[e2b]==${VERSION}`])
}, 600_000)
afterAll(() => llm?.close())

async function run(example: string): Promise<string> {
  const env = {
    ...process.env,
    ...server.env,
    OPENAI_API_KEY: 'from-the-user',
    OPENAI_BASE_URL: `${llm.url}/v1`,
    OPENAI_AGENTS_DISABLE_TRACING: '1',
  }
  const options = { env, timeout: EXAMPLE_TIMEOUT_MS }
  return (await promisify(execFile)(python, [join(examples, example)], options)).stdout
}

test(
  'an agent looks into the workspace, and pause_on_exit leaves a paused sandbox that can be resumed',
  async () => {
    const output = await run('inspect_workspace.py')
    expect(output).toContain('Done. The tool answered')
    const id = /sandbox: (\w+)/.exec(output)![1]!
    try {
      expect((await Sandbox.getInfo(id)).state).toBe('paused')
      const sandbox = await Sandbox.connect(id)
      const { stdout } = await sandbox.commands.run(
        'find / -xdev -name created-1.txt -not -path "/proc/*" 2>/dev/null | head -1',
      )
      expect(stdout).toContain('created-1.txt')
    } finally {
      await Sandbox.kill(id)
    }
  },
  EXAMPLE_TIMEOUT_MS,
)

test(
  'two agents make versions from a manifest, and Vite shows each at a URL of its own',
  async () => {
    const output = await run('vite_versions.py')
    const previews = [...output.matchAll(/^http:\S+/gm)].map(([url]) => url)
    expect(new Set(previews).size).toBe(2)
    for (const preview of previews) {
      await expect
        .poll(async () => (await fetchWithin(preview)).text(), { timeout: 60_000, interval: 1000 })
        .toContain('<div id="app">')
      await Sandbox.kill(new URL(preview).hostname.split('.')[0]!.replace(/^\d+-/, ''))
    }
  },
  EXAMPLE_TIMEOUT_MS + 120_000,
)

test(
  'lanes review in parallel, and the coordinator gets what each found',
  async () => {
    await run('review_lanes.py')
    const told = JSON.stringify(llm.requests.at(-1)!.body.input)
    expect(told).toContain('Findings in the frontend:\\nDone. The tool answered')
    expect(told).toContain('Findings in the backend:\\nDone. The tool answered')
  },
  EXAMPLE_TIMEOUT_MS,
)
