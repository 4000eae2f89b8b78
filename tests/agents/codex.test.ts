import { afterAll, beforeAll, expect, test } from 'vitest'
import { createdFile } from '../llm/scripted-model.ts'
import { LLM_URL, REPOSITORY, startWorkspace, type Workspace } from './workspace.ts'

const CONFIG = '/home/user/.codex/config.toml'
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

let workspace: Workspace
beforeAll(async () => {
  workspace = await startWorkspace('codex', { envs: { CODEX_API_KEY: 'from-the-user' } })
  const { files } = workspace.sandbox
  // codex takes another address for OpenAI from its configuration only
  await files.write(CONFIG, `openai_base_url = "${LLM_URL}/v1"\n${await files.read(CONFIG)}`)
})
afterAll(() => workspace?.sandbox.kill())

const codex = (words: string) =>
  workspace.sandbox.commands.run(`codex exec --full-auto --skip-git-repo-check ${words}`, {
    timeoutMs: 110_000,
  })

const lastTurn = async () =>
  (await workspace.requests())
    .filter(({ method, path }) => method === 'POST' && path === '/v1/responses')
    .at(-1)!

test('does a task in a cloned repository, and git diff shows it', async () => {
  const { stdout } = await codex(`-C ${REPOSITORY} "Add error handling to all API endpoints"`)
  expect(stdout).toContain('Done. The tool answered')
  expect(stdout).toContain(createdFile(1))
  expect(await workspace.diff()).toContain(`+See ${createdFile(1)}`)
  expect(await workspace.diff()).toContain(`+++ b/${createdFile(1)}`)
  const { headers, body } = await lastTurn()
  expect(headers.authorization).toBe('Bearer from-the-user')
  expect(JSON.stringify(body.input)).toContain('Add error handling to all API endpoints')
})

test('--json prints one event a line', async () => {
  const { stdout } = await codex(`--json -C ${REPOSITORY} "Refactor the utils module into separate files"`)
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(events[0].type).toBe('thread.started')
  expect(events.at(-1).type).toBe('turn.completed')
  const commands = events.filter(
    ({ type, item }) => type === 'item.completed' && item.type === 'command_execution',
  )
  expect(commands).toMatchObject([{ item: { exit_code: 0, status: 'completed' } }])
})

test('--output-schema: the answer is of that schema', async () => {
  const issue = {
    type: 'object',
    properties: { file: { type: 'string' }, severity: { enum: ['low', 'high'] } },
  }
  const schema = {
    type: 'object',
    properties: { issues: { type: 'array', items: issue } },
    required: ['issues'],
  }
  await workspace.sandbox.files.write('/home/user/schema.json', JSON.stringify(schema))
  const { stdout } = await codex(
    `--output-schema /home/user/schema.json -C ${REPOSITORY} "Review this codebase for security issues"`,
  )
  expect(JSON.parse(stdout)).toEqual({ issues: [{ file: 'scripted', severity: 'low' }] })
  expect((await lastTurn()).body.text.format).toMatchObject({ type: 'json_schema', schema })
})

test('--image: the model gets the picture', async () => {
  const bytes = Uint8Array.from(Buffer.from(PIXEL, 'base64'))
  await workspace.sandbox.files.write('/home/user/mockup.png', bytes.buffer)
  await codex(
    `--image /home/user/mockup.png -C ${REPOSITORY} "Implement this UI design as a React component"`,
  )
  const parts = (await lastTurn()).body.input.flatMap((item: { content?: unknown }) => item.content ?? [])
  const images = parts.filter((part: { type: string }) => part.type === 'input_image')
  expect(images).toHaveLength(1)
  expect(images[0].image_url).toMatch(/^data:image\/png;base64,/)
})

test('codex is on PATH of a shell that is not a login shell', async () => {
  const { stdout } = await workspace.sandbox.commands.run(
    "env -i PATH=/usr/local/bin:/usr/bin:/bin sh -c 'codex --version'",
  )
  expect(stdout).toMatch(/^codex-cli \d+\.\d+\.\d+/)
})
