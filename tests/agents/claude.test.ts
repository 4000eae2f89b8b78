import { afterAll, beforeAll, expect, test } from 'vitest'
import { createdFile } from '../llm/scripted-model.ts'
import { mapNotesServer, NOTES_SERVER } from './notes-server.ts'
import { LLM_URL, REPOSITORY, startWorkspace, type Workspace } from './workspace.ts'

let workspace: Workspace
beforeAll(async () => {
  await mapNotesServer()
  workspace = await startWorkspace('claude', {
    envs: { ANTHROPIC_API_KEY: 'from-the-user', ANTHROPIC_BASE_URL: LLM_URL },
    mcp: { [NOTES_SERVER]: {} },
  })
})
afterAll(() => workspace?.sandbox.kill())

const claude = (words: string, onStdout?: (data: string) => void) =>
  workspace.sandbox.commands.run(`cd ${REPOSITORY} && claude --dangerously-skip-permissions ${words}`, {
    onStdout,
    timeoutMs: 110_000,
  })

test('does a task in a cloned repository, and git diff shows it', async () => {
  const { stdout } = await claude('-p "Add error handling to all API endpoints"')
  expect(stdout).toContain(`Done. The tool answered: README.md\n${createdFile(1)}`)
  expect(await workspace.diff()).toContain(`+See ${createdFile(1)}`)
  expect(await workspace.diff()).toContain(`+++ b/${createdFile(1)}`)
  const asked = (await workspace.requests()).find(({ method }) => method === 'POST')!
  expect(asked.headers['x-api-key']).toBe('from-the-user')
  expect(JSON.stringify(asked.body.messages)).toContain('Add error handling to all API endpoints')
})

test('--output-format json gives one object, whose session --resume continues', async () => {
  const { stdout } = await claude('--output-format json -p "Create a refactoring plan"')
  const response = JSON.parse(stdout)
  expect(response).toMatchObject({ type: 'result', subtype: 'success', is_error: false })
  expect(response.result).toContain('Done.')
  const followUp = await claude(`--resume ${response.session_id} -p "Now implement step 1 of the plan"`)
  expect(followUp.stdout).toContain(createdFile(2))
  const last = JSON.stringify((await workspace.requests()).at(-1)!.body.messages)
  expect(last).toContain('Create a refactoring plan')
  expect(last).toContain('Now implement step 1 of the plan')
})

test('--output-format stream-json prints each event on a line as it arrives', async () => {
  const events: Array<{ type: string; subtype?: string; message?: { usage?: { output_tokens: number } } }> =
    []
  await claude('--output-format stream-json -p "Find and fix all TODO comments"', (data) => {
    for (const line of data.split('\n').filter(Boolean)) events.push(JSON.parse(line))
  })
  expect(events.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['system', 'assistant', 'user', 'result']),
  )
  expect(events.find(({ type }) => type === 'assistant')?.message?.usage?.output_tokens).toBeGreaterThan(0)
  expect(events.at(-1)).toMatchObject({ type: 'result', subtype: 'success' })
})

test('CLAUDE.md and --system-prompt reach the model', async () => {
  await workspace.sandbox.files.write(`${REPOSITORY}/CLAUDE.md`, 'Always use structured logging with slog.\n')
  await claude('--system-prompt "Answer in one word" -p "Add a /healthz endpoint"')
  const { messages, system } = (await workspace.requests()).at(-1)!.body
  expect(JSON.stringify(messages) + JSON.stringify(system)).toContain('structured logging with slog')
  expect(JSON.stringify(system)).toContain('Answer in one word')
})

test('the MCP gateway of the sandbox is added as documented, and the model calls a tool of it', async () => {
  const { sandbox } = workspace
  await sandbox.files.write('/home/user/note.txt', 'written by the user')
  const mcpUrl = sandbox.getMcpUrl()
  const mcpToken = await sandbox.getMcpToken()
  await sandbox.commands.run(
    `claude mcp add --transport http --scope user e2b-mcp-gateway ${mcpUrl} --header "Authorization: Bearer ${mcpToken}"`,
  )
  // else the model would have to search for the tool first
  const { stdout } = await sandbox.commands.run(
    `ENABLE_TOOL_SEARCH=false claude --dangerously-skip-permissions -p 'call read_note {"path": "/home/user/note.txt"}'`,
    { timeoutMs: 110_000 },
  )
  expect(stdout).toContain('Done. The tool answered: written by the user')
})

test('claude is on PATH of a shell that is not a login shell', async () => {
  const { stdout } = await workspace.sandbox.commands.run(
    "env -i PATH=/usr/local/bin:/usr/bin:/bin sh -c 'claude --version'",
  )
  expect(stdout).toMatch(/^\d+\.\d+\.\d+ \(Claude Code\)/)
})
