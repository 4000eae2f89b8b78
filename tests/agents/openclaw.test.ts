import { type CommandHandle, Sandbox } from 'e2b-official'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { currentByHost, useEnvironment } from '../conformance/official.ts'
import { BOT_TOKEN, buildWithModel } from './with-model.ts'

const PORT = 18789
const TOKEN = 'my-openclaw-token'
const CONFIG = '/home/user/.openclaw/openclaw.json'
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
/** A command takes 12 s on an idle machine, the gateway's start 19 s (templates/openclaw/README.md): room for a busy one. */
const COMMAND_TIMEOUT_MS = 180_000
const GATEWAY_TIMEOUT_MS = 300_000

let sandbox: Sandbox
let gateway: CommandHandle
let gatewaySaid = ''

const openclaw = (words: string) =>
  sandbox.commands.run(`openclaw ${words}`, { timeoutMs: COMMAND_TIMEOUT_MS })

beforeAll(async () => {
  const template = await buildWithModel('openclaw')
  useEnvironment(currentByHost)
  sandbox = await Sandbox.create(template, {
    envs: { OPENAI_API_KEY: 'from-the-user', TELEGRAM_BOT_TOKEN: BOT_TOKEN },
    timeoutMs: 3_600_000,
  })
})
afterAll(() => sandbox?.kill())

// in the order of the documentation's two pages; what its bot does is in examples.test.ts, as each command takes 12 s
test(
  'the model, the Telegram plug-in and its channel are configured',
  async () => {
    await openclaw('config set agents.defaults.model.primary openai/gpt-5.2')
    await openclaw('config set plugins.entries.telegram.enabled true')
    await openclaw('channels add --channel telegram --token "$TELEGRAM_BOT_TOKEN"')
    const config = JSON.parse(await sandbox.files.read(CONFIG))
    expect(config.agents.defaults.model.primary).toBe('openai/gpt-5.2')
    expect(config.plugins.entries.telegram.enabled).toBe(true)
    expect(config.channels.telegram).toMatchObject({ enabled: true, botToken: BOT_TOKEN })
  },
  3 * COMMAND_TIMEOUT_MS,
)

test(
  'the gateway starts with the flags of the documentation',
  async () => {
    // no time limit: the documentation sets none, and the SDK's own of 60 s would end the gateway
    gateway = await sandbox.commands.run(
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
    await expect.poll(listens, { timeout: GATEWAY_TIMEOUT_MS, interval: 1000 }).toBe('ready')
  },
  GATEWAY_TIMEOUT_MS + 2 * COMMAND_TIMEOUT_MS,
)

// retried like tests/browser: Chromium breaks connections when a slot's network interface comes or goes (vitest.config.ts)
test('its page connects over WebSocket in a browser, with the token of the URL and not with another', {
  timeout: 240_000,
  retry: 3,
}, async () => {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
  })
  try {
    /** Waits for the frame that answers the page's request to connect. */
    const connect = async (token: string): Promise<string> => {
      const page = await browser.newPage({ ignoreHTTPSErrors: true })
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      page.on('websocket', (socket) =>
        socket.on('framereceived', ({ payload }) => {
          if (/"ok":(true|false)/.test(String(payload))) resolve(String(payload))
        }),
      )
      const timer = setTimeout(() => reject(new Error('no answer to connect after 90 s')), 90_000)
      await page.goto(`https://${sandbox.getHost(PORT)}/?token=${token}`, { timeout: 60_000 })
      expect(await page.title()).toContain('OpenClaw')
      return promise.finally(() => clearTimeout(timer))
    }
    expect(await connect(TOKEN)).toMatch(/"ok":true.*hello-ok/)
    expect(await connect('another')).toMatch(/"ok":false.*unauthorized/)
  } finally {
    await browser.close()
  }
})

function hear(data: string): void {
  gatewaySaid = (gatewaySaid + data).slice(-4000)
}
