import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Sandbox } from 'e2b-official'
import { beforeAll, describe, type ExpectStatic, test } from 'vitest'
import { currentByHost, fetchWithin, server, useEnvironment } from '../conformance/official.ts'
import { pythonOf } from '../conformance/python/venv.ts'
import { createdFile } from '../llm/scripted-model.ts'
import { pairingCode, replies, say } from './telegram.ts'
import { BOT_TOKEN, buildWithModel, MODEL_RECORD, ORIGIN } from './with-model.ts'
import { LLM_URL } from './workspace.ts'

// Runs the examples as a user does, but on a template with the scripted model. Examples of the OpenAI Agents SDK are in
// openai-agents.test.ts.
const PROGRAM_TIMEOUT_MS = 420_000
const examples = join(import.meta.dirname, '../../examples')

const keys = {
  ANTHROPIC_API_KEY: 'from-the-user',
  ANTHROPIC_BASE_URL: LLM_URL,
  CODEX_API_KEY: 'from-the-user',
  OPENAI_API_KEY: 'from-the-user',
  TELEGRAM_BOT_TOKEN: BOT_TOKEN,
  AMP_API_KEY: 'from-the-user',
  AMP_URL: LLM_URL,
}

type Output = (variables?: Record<string, string>) => Promise<string>

let python: string
beforeAll(async () => {
  useEnvironment(currentByHost)
  python = await pythonOf('2.63.0')
})

/** Runs a program. @returns what it wrote */
async function run(program: string, variables: Record<string, string>): Promise<string> {
  const env = { ...process.env, ...server.env, ...keys, REPOSITORY: ORIGIN, TASK: 'Add a file', ...variables }
  const interpreter = program.endsWith('.py') ? python : process.execPath
  const options = { env, timeout: PROGRAM_TIMEOUT_MS }
  return (await promisify(execFile)(interpreter, [join(examples, program)], options)).stdout
}

/** Runs both languages concurrently: each waits for its own sandbox. */
function example(
  agent: string,
  program: string,
  title: string,
  check: (output: Output, expect: ExpectStatic) => Promise<void>,
): void {
  describe(`${agent}/${program}: ${title}`, () => {
    let template: string
    beforeAll(async () => {
      template = await buildWithModel(agent)
    })
    test.concurrent.for(['ts', 'py'])(
      '.%s',
      { timeout: 2 * PROGRAM_TIMEOUT_MS },
      async (language, { expect }) => {
        const output: Output = (variables = {}) =>
          run(`${agent}/${program}.${language}`, { TEMPLATE: template, ...variables })
        await check(output, expect)
      },
    )
  })
}

example('claude', 'repository', 'a task, and a second one in the same session', async (output, expect) => {
  const said = await output()
  expect(said).toMatch(/success in \d+ ms: Done\. The tool answered/)
  expect(said).toContain(`+See ${createdFile(1)}`)
  expect(said).toContain(`+See ${createdFile(2)}`)
})

example('codex', 'repository', 'a task told by events, then a review of a schema', async (output, expect) => {
  const said = await output()
  expect(said).toMatch(/^thread\.started/m)
  expect(said).toMatch(/^item\.completed command_execution/m)
  expect(said).toContain(`+See ${createdFile(1)}`)
  expect(said).toMatch(/'scripted'.*'low'/)
})

example('opencode', 'repository', 'a task, then the same through its server', async (output, expect) => {
  // its SDK of Anthropic takes the address with the version
  const said = await output({ ANTHROPIC_BASE_URL: `${LLM_URL}/v1` })
  expect(said).toContain(`+See ${createdFile(1)}`)
  // requests of `opencode run`, and then of the server
  expect(said.match(/Done\. The tool answered/g)).toHaveLength(2)
})

// Amp's own service decides, and its protocol is not published: the program gets as far as that service.
example('amp', 'repository', 'the service is asked', async (output, expect) => {
  await expect(output()).rejects.toThrow('API request for getUserInfo failed: 404')
})

example('openclaw', 'gateway', "the gateway's page is open at what it prints", async (output, expect) => {
  const said = await output()
  const id = /sandbox kill (\w+)/.exec(said)![1]!
  try {
    const page = await fetchWithin(/^Open (\S+)/m.exec(said)![1]!)
    expect(await page.text()).toContain('<openclaw-app')
  } finally {
    await Sandbox.kill(id)
  }
})

example(
  'openclaw',
  'telegram',
  'the bot answers with a code, which pairs its user, and then the model works for that user',
  async (output, expect) => {
    const id = /SANDBOX=(\w+)/.exec(await output())![1]!
    try {
      const sandbox = await Sandbox.connect(id)
      await say(sandbox, 'hi')
      const code = async () => pairingCode(await replies(sandbox))
      await expect.poll(code, { timeout: PROGRAM_TIMEOUT_MS, interval: 1000 }).toBeDefined()
      const status = await output({ SANDBOX: id, PAIRING_CODE: (await code())! })
      expect(status).toContain('stub_bot')

      await say(sandbox, 'What is in your workspace?')
      // the work is checked and not the answer: a gateway that restarts meanwhile for a changed configuration may lose the answer
      const created = `/home/user/.openclaw/workspace/${createdFile(1)}`
      const isDone = () => sandbox.files.exists(created)
      await expect.poll(isDone, { timeout: PROGRAM_TIMEOUT_MS, interval: 1000 }).toBe(true)
      expect(await sandbox.files.read(created)).toBe('written by call 1\n')
      const requests = (await sandbox.files.read(MODEL_RECORD)).trim().split('\n')
      const turn = requests.find((line) => line.includes('What is in your workspace?'))!
      expect(JSON.parse(turn).headers.authorization).toBe('Bearer from-the-user')
    } finally {
      await Sandbox.kill(id)
    }
  },
)
