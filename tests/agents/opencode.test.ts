import { createOpencodeClient } from '@opencode-ai/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createdFile } from '../llm/scripted-model.ts'
import { LLM_URL, REPOSITORY, startWorkspace, type Workspace } from './workspace.ts'

// 10 s of processor time before it listens, all of it the program's own JavaScript: 18 s at a load of 14 on 2 cores
const SERVER_START_TIMEOUT_MS = 120_000
const PROMPT_TIMEOUT_MS = 120_000

let workspace: Workspace
beforeAll(async () => {
  workspace = await startWorkspace('opencode', {
    envs: { ANTHROPIC_API_KEY: 'from-the-user', ANTHROPIC_BASE_URL: `${LLM_URL}/v1` },
    lifecycle: { onTimeout: 'pause' },
  })
})
afterAll(() => workspace?.sandbox.kill())

test('does a task in a cloned repository, and git diff shows it', async () => {
  const { sandbox } = workspace
  const command = `cd ${REPOSITORY} && opencode run "Add error handling to all API endpoints"`
  const { stdout } = await sandbox.commands.run(command, { timeoutMs: 110_000 })
  expect(stdout).toContain('Done. The tool answered: README.md')
  expect(await workspace.diff()).toContain(`+See ${createdFile(1)}`)
  expect(await workspace.diff()).toContain(`+++ b/${createdFile(1)}`)
  const asked = (await workspace.requests()).find(({ body }) => body?.tools)!
  expect(asked.headers['x-api-key']).toBe('from-the-user')
  expect(JSON.stringify(asked.body.messages)).toContain('Add error handling to all API endpoints')
})

test(
  'opencode serve answers its SDK over getHost, and a prompt changes files',
  async () => {
    const { sandbox } = workspace
    await startServer()
    const baseUrl = `https://${sandbox.getHost(4096)}`
    const health = await fetch(`${baseUrl}/global/health`, { signal: AbortSignal.timeout(30_000) })
    expect(await health.json()).toMatchObject({ healthy: true })

    const client = createOpencodeClient({ baseUrl })
    const { data: session } = await client.session.create({
      body: { title: 'E2B Session' },
      throwOnError: true,
    })
    expect(session.title).toBe('E2B Session')
    const { data: result } = await client.session.prompt({
      path: { id: session.id },
      body: { parts: [{ type: 'text', text: 'Create a hello world HTTP server in Go' }] },
      throwOnError: true,
    })
    const said = result.parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))
    expect(said.join('')).toContain('Done. The tool answered')
    // opencode works in the folder in which its server was started, unless a request names another
    expect(await sandbox.files.read(`/home/user/${createdFile(1)}`)).toBe('written by call 1\n')
    const asked = (await workspace.requests()).filter(({ body }) =>
      JSON.stringify(body?.messages ?? '').includes('Create a hello world HTTP server in Go'),
    )
    // at least one request for the tool's call, and one with its result
    expect(asked.length).toBeGreaterThan(1)
  },
  SERVER_START_TIMEOUT_MS + PROMPT_TIMEOUT_MS,
)

/** Waits until the server says that it listens: until then its port answers 502 at the edge. */
async function startServer(): Promise<void> {
  const { promise: listens, resolve, reject } = Promise.withResolvers<void>()
  let said = ''
  const hear = (data: string) => {
    said += data
    if (said.includes('opencode server listening on http://0.0.0.0:4096')) resolve()
  }
  const server = await workspace.sandbox.commands.run('opencode serve --hostname 0.0.0.0 --port 4096', {
    background: true,
    timeoutMs: 0,
    onStdout: hear,
    onStderr: hear,
  })
  server.wait().catch(reject)
  const timer = setTimeout(
    () => reject(new Error(`opencode serve does not listen after ${SERVER_START_TIMEOUT_MS} ms: ${said}`)),
    SERVER_START_TIMEOUT_MS,
  )
  await listens.finally(() => clearTimeout(timer))
}
