import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LLM_URL, startWorkspace, type Workspace } from './workspace.ts'

const PORT = 18789
const TOKEN = 'my-openclaw-token'
const BOT_TOKEN = '123456:stub'
const BOT_URL = 'http://127.0.0.1:8901'
const BOT_RECORD = '/tmp/bot/calls.jsonl'
const CONFIG = '/home/user/.openclaw/openclaw.json'
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'

/**
 * Any command of openclaw makes some 200,000 file-system calls (70 plug-ins are looked at twice): 11 s of processor time natively,
 * 32 s in gVisor at a load of 14 on 2 cores.
 */
const COMMAND_TIMEOUT_MS = 180_000
const GATEWAY_TIMEOUT_MS = 300_000

let workspace: Workspace
let gatewaySaid = ''

const openclaw = (words: string) =>
  workspace.sandbox.commands.run(`openclaw ${words}`, { timeoutMs: COMMAND_TIMEOUT_MS })

beforeAll(async () => {
  workspace = await startWorkspace('openclaw', {
    envs: { OPENAI_API_KEY: 'from-the-user', TELEGRAM_BOT_TOKEN: BOT_TOKEN },
  })
  const { files } = workspace.sandbox
  await files.write(
    CONFIG,
    JSON.stringify({
      ...JSON.parse(await files.read(CONFIG)),
      channels: { telegram: { apiRoot: BOT_URL } },
      models: { providers: { openai: { baseUrl: `${LLM_URL}/v1`, models: [] } } },
    }),
  )
  await startBotApi()
})
afterAll(() => workspace?.sandbox.kill())

// one after the other, as the documentation's two pages go
test(
  'the model, the Telegram plug-in and its channel are configured',
  async () => {
    await openclaw('config set agents.defaults.model.primary openai/gpt-5.2')
    await openclaw('config set plugins.entries.telegram.enabled true')
    await openclaw('channels add --channel telegram --token "$TELEGRAM_BOT_TOKEN"')
    const config = JSON.parse(await workspace.sandbox.files.read(CONFIG))
    expect(config.agents.defaults.model.primary).toBe('openai/gpt-5.2')
    expect(config.plugins.entries.telegram.enabled).toBe(true)
    expect(config.channels.telegram).toMatchObject({ enabled: true, botToken: BOT_TOKEN })
  },
  3 * COMMAND_TIMEOUT_MS,
)

test(
  'the gateway starts with the flags of the documentation',
  async () => {
    const { sandbox } = workspace
    const gateway = await sandbox.commands.run(
      `bash -lc 'openclaw config set gateway.controlUi.allowInsecureAuth true && ` +
        `openclaw config set gateway.controlUi.dangerouslyDisableDeviceAuth true && ` +
        `openclaw gateway --allow-unconfigured --bind lan --auth token --token ${TOKEN} --port ${PORT}'`,
      { background: true, timeoutMs: 0, onStdout: hear, onStderr: hear },
    )
    let ended: unknown
    gateway.wait().catch((error: unknown) => {
      ended = error
    })
    const listens = async () => {
      if (ended) throw new Error(`the gateway ended: ${gatewaySaid}`, { cause: ended })
      const probe = `bash -lc 'ss -ltn | grep -q ":${PORT} " && echo ready || echo waiting'`
      return (await sandbox.commands.run(probe)).stdout.trim()
    }
    await expect
      .poll(listens, { timeout: GATEWAY_TIMEOUT_MS, interval: 1000, message: gatewaySaid })
      .toBe('ready')
  },
  GATEWAY_TIMEOUT_MS + 2 * COMMAND_TIMEOUT_MS,
)

test('its page connects over WebSocket in a browser, with the token of the URL and not with another', async () => {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
  })
  try {
    const frames = async (token: string, until: RegExp): Promise<string> => {
      const page = await browser.newPage({ ignoreHTTPSErrors: true })
      const { promise, resolve } = Promise.withResolvers<string>()
      page.on('websocket', (socket) =>
        socket.on('framereceived', ({ payload }) => {
          if (until.test(String(payload))) resolve(String(payload))
        }),
      )
      await page.goto(`https://${workspace.sandbox.getHost(PORT)}/?token=${token}`, { timeout: 60_000 })
      expect(await page.title()).toContain('OpenClaw')
      const timer = setTimeout(() => resolve('no such frame'), 90_000)
      return promise.finally(() => clearTimeout(timer))
    }
    expect(await frames(TOKEN, /hello-ok/)).toContain('"ok":true')
    expect(await frames('another', /"ok":false/)).toContain('unauthorized')
  } finally {
    await browser.close()
  }
}, 240_000)

test(
  'who writes to the bot is paired, and then the model works for them',
  async () => {
    await say('hi')
    const asked = await reply((text) => text.includes('Pairing code'))
    const code = /\b[A-Z0-9]{8}\b/.exec(asked)?.[0]
    expect(code, asked).toBeDefined()
    const pending = JSON.parse((await openclaw('pairing list --json --channel telegram')).stdout)
    expect(JSON.stringify(pending)).toContain(code)
    await openclaw(`pairing approve --channel telegram ${code}`)

    await say('What is in your workspace?')
    // OpenClaw adds a message of its own after each result, which the scripted model takes for a new request: it never ends
    const changed = () => workspace.sandbox.files.exists('/home/user/.openclaw/workspace/README.md')
    await expect.poll(changed, { timeout: GATEWAY_TIMEOUT_MS, interval: 1000 }).toBe(true)
    const turn = (await workspace.requests()).find(({ body }) =>
      JSON.stringify(body ?? '').includes('What is in your workspace?'),
    )
    expect(turn?.headers.authorization).toBe('Bearer from-the-user')
  },
  GATEWAY_TIMEOUT_MS + 4 * COMMAND_TIMEOUT_MS,
)

test(
  'the state of its channels is told as JSON',
  async () => {
    const channels = JSON.parse((await openclaw('channels list --json')).stdout)
    expect(JSON.stringify(channels)).toContain('telegram')
    const status = JSON.parse((await openclaw('channels status --json --probe')).stdout)
    expect(JSON.stringify(status)).toContain('stub_bot')
  },
  2 * COMMAND_TIMEOUT_MS,
)

function hear(data: string): void {
  gatewaySaid = (gatewaySaid + data).slice(-4000)
}

async function startBotApi(): Promise<void> {
  const { sandbox } = workspace
  const program = await readFile(join(import.meta.dirname, 'telegram-bot-api.ts'), 'utf8')
  await sandbox.files.write([
    { path: '/tmp/bot/telegram-bot-api.ts', data: program },
    { path: '/tmp/bot/package.json', data: '{"type":"module"}' },
  ])
  const { promise: listens, resolve, reject } = Promise.withResolvers<void>()
  const bot = await sandbox.commands.run(
    `node /tmp/bot/telegram-bot-api.ts --port 8901 --token ${BOT_TOKEN} --record ${BOT_RECORD}`,
    { background: true, timeoutMs: 0, onStdout: () => resolve() },
  )
  bot.wait().catch(reject)
  await listens
}

const say = (text: string) => workspace.sandbox.commands.run(`curl -sf -d '${text}' ${BOT_URL}/say`)

/** What the bot wrote to its user, when it is what one waits for. */
async function reply(isIt: (text: string) => boolean): Promise<string> {
  let all: string[] = []
  const found = async () => {
    const calls = (await workspace.sandbox.files.read(BOT_RECORD)).trim().split('\n')
    all = calls
      .map((line) => JSON.parse(line) as { method: string; parameters: { text?: string } })
      .filter(({ method }) => method === 'sendMessage' || method === 'editMessageText')
      .map(({ parameters }) => String(parameters.text))
    return all.find(isIt)
  }
  await expect.poll(found, { timeout: COMMAND_TIMEOUT_MS, interval: 1000 }).toBeDefined()
  return (await found())!
}
