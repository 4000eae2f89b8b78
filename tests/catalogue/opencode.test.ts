import { createOpencodeClient } from '@opencode-ai/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createdFile } from '../llm/scripted-model.ts'
import { LLM_URL, REPOSITORY, startWorkspace, type Workspace } from './workspace.ts'

const SERVER_START_TIMEOUT_MS = 60_000

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

test('opencode serve answers its SDK over getHost', async () => {
  const { sandbox } = workspace
  await sandbox.commands.run('opencode serve --hostname 0.0.0.0 --port 4096', {
    background: true,
    timeoutMs: 0,
  })
  const baseUrl = `https://${sandbox.getHost(4096)}`
  await expect
    .poll(() => fetch(`${baseUrl}/global/health`).then((response) => response.status), {
      timeout: SERVER_START_TIMEOUT_MS,
      interval: 500,
    })
    .toBe(200)

  const client = createOpencodeClient({ baseUrl })
  const { data: session } = await client.session.create({ body: { title: 'E2B Session' } })
  const { data: result } = await client.session.prompt({
    path: { id: session!.id },
    body: { parts: [{ type: 'text', text: 'Create a hello world HTTP server in Go' }] },
  })
  const said = result!.parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))
  expect(said.join('')).toContain('Done. The tool answered')
  expect(await sandbox.files.exists(`/home/user/${createdFile(1)}`)).toBe(true)
})
