import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Sandbox } from 'e2b-official'
import { beforeAll, describe, expect, test } from 'vitest'
import { currentByHost, fetchWithin, server, useEnvironment } from '../conformance/official.ts'
import { pythonOf } from '../conformance/python/venv.ts'
import { BUILD_TIMEOUT_MS } from './ready.ts'
import { BOT_PORT, BOT_RECORD, BOT_TOKEN, buildWithModel, ORIGIN } from './with-model.ts'
import { LLM_URL } from './workspace.ts'

// As a user runs them, but with a template that has the scripted model in it. Those of the OpenAI Agents SDK: openai-agents.test.ts.
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

let python: string
beforeAll(async () => {
  useEnvironment(currentByHost)
  python = await pythonOf('2.63.0')
}, 600_000)

/** @returns what the program wrote */
async function run(program: string, variables: Record<string, string>): Promise<string> {
  const env = { ...process.env, ...server.env, ...keys, REPOSITORY: ORIGIN, TASK: 'Add a file', ...variables }
  const interpreter = program.endsWith('.py') ? python : process.execPath
  const options = { env, timeout: PROGRAM_TIMEOUT_MS }
  return (await promisify(execFile)(interpreter, [join(examples, program)], options)).stdout
}

describe.each(['ts', 'py'])('.%s', (language) => {
  const agentTest = (
    agent: string,
    program: string,
    title: string,
    body: (output: (variables?: Record<string, string>) => Promise<string>) => Promise<void>,
  ) =>
    test(
      `${agent}/${program}.${language}: ${title}`,
      async () => {
        const name = await buildWithModel(agent)
        await body((variables = {}) =>
          run(`${agent}/${program}.${language}`, { TEMPLATE: name, ...variables }),
        )
      },
      BUILD_TIMEOUT_MS + 2 * PROGRAM_TIMEOUT_MS,
    )

  agentTest('claude', 'repository', 'a task, and a second one in the same session', async (output) => {
    const said = await output()
    expect(said).toMatch(/success in \d+ ms: Done\. The tool answered/)
    expect(said).toContain('+See created-1.txt')
    expect(said).toContain('+See created-2.txt')
  })

  agentTest('codex', 'repository', 'a task told by events, then a review of a schema', async (output) => {
    const said = await output()
    expect(said).toMatch(/^thread\.started/m)
    expect(said).toMatch(/^item\.completed command_execution/m)
    expect(said).toContain('+See created-1.txt')
    expect(said).toMatch(/'scripted'.*'low'/)
  })

  agentTest('opencode', 'repository', 'a task, then the same through its server', async (output) => {
    const said = await output()
    expect(said).toContain('+See created-1.txt')
    // by `opencode run`, and by the server after it
    expect(said.match(/Done\. The tool answered/g)).toHaveLength(2)
  })

  // Amp's own service decides, and its protocol is not published: the program comes as far as that.
  agentTest('amp', 'repository', 'the service is asked', async (output) => {
    await expect(output()).rejects.toThrow('API request for getUserInfo failed: 404')
  })

  agentTest('openclaw', 'gateway', "the gateway's page is open at what it prints", async (output) => {
    const said = await output()
    const id = /sandbox kill (\w+)/.exec(said)![1]!
    try {
      const page = await fetchWithin(/^Open (\S+)/m.exec(said)![1]!)
      expect(await page.text()).toContain('<openclaw-app')
    } finally {
      await Sandbox.kill(id)
    }
  })

  agentTest('openclaw', 'telegram', 'the bot answers with a code, which pairs its user', async (output) => {
    const id = /SANDBOX=(\w+)/.exec(await output())![1]!
    try {
      const { commands, files } = await Sandbox.connect(id)
      const code = async () =>
        /pairing approve telegram ([A-Z0-9]{8})/.exec(await files.read(BOT_RECORD))?.[1]
      const say = () => commands.run(`curl -sf -d hi http://127.0.0.1:${BOT_PORT}/say`)
      await say()
      await expect.poll(code, { timeout: PROGRAM_TIMEOUT_MS, interval: 1000 }).toBeDefined()
      const status = await output({ SANDBOX: id, PAIRING_CODE: (await code())! })
      expect(status).toContain('stub_bot')
    } finally {
      await Sandbox.kill(id)
    }
  })
})
