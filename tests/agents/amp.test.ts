import { afterAll, beforeAll, expect, test } from 'vitest'
import { LLM_URL, REPOSITORY, startWorkspace, type Workspace } from './workspace.ts'

// Amp's agent runs in Amp's own service, whose protocol is not published: what can be checked without it is that the documented
// flags are known, and that the key of the user reaches the service that AMP_URL names.
let workspace: Workspace
beforeAll(async () => {
  workspace = await startWorkspace('amp', { envs: { AMP_API_KEY: 'from-the-user', AMP_URL: LLM_URL } })
})
afterAll(() => workspace?.sandbox.kill())

/** Runs amp, which ends with the error that the service's refusal causes. */
async function refused(words: string): Promise<string> {
  const command = `cd ${REPOSITORY} && amp ${words}; echo "exit $?"`
  const { stdout, stderr } = await workspace.sandbox.commands.run(command, { timeoutMs: 110_000 })
  return stdout + stderr
}

test('amp is on PATH and prints its version, in login shells and in others', async () => {
  const version = /^\d+\.\d+\.\d+-g[0-9a-f]+/
  const { commands } = workspace.sandbox
  expect((await commands.run('amp --version')).stdout).toMatch(version)
  const plain = "env -i HOME=/home/user PATH=/usr/local/bin:/usr/bin:/bin sh -c 'amp --version'"
  expect((await commands.run(plain)).stdout).toMatch(version)
})

test.each(['-x', '--stream-json -x'])(
  '--dangerously-allow-all %s asks the service with the key',
  async (flags) => {
    const before = (await workspace.sandbox.files.exists('/tmp/llm/requests.jsonl'))
      ? (await workspace.requests()).length
      : 0
    const output = await refused(`--dangerously-allow-all ${flags} "Add error handling to all API endpoints"`)
    expect(output).toContain('API request for getUserInfo failed: 404')
    expect(output).toContain('exit 1')
    const asked = (await workspace.requests()).slice(before)
    expect(asked.find(({ body }) => body?.method === 'getUserInfo')).toMatchObject({
      method: 'POST',
      path: '/api/internal',
      headers: { authorization: 'Bearer from-the-user' },
    })
  },
)

test('threads list --json asks the service for them', async () => {
  await refused('threads list --json')
  expect((await workspace.requests()).map(({ body }) => body?.method)).toContain('listThreads')
})

test('threads continue takes a thread, a task and the same flags', async () => {
  const { stdout } = await workspace.sandbox.commands.run('amp threads continue --help')
  expect(stdout).toContain('Usage: amp threads continue')
})
