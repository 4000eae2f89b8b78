// The OpenClaw gateway: a web page to chat with agents, open to whoever has the token.
import { Sandbox } from 'e2b'
import { answers, fromEnvironment, template } from '../environment.ts'

const PORT = 18789
const token = process.env.OPENCLAW_APP_TOKEN ?? crypto.randomUUID()

const sandbox = await Sandbox.create(template('openclaw'), {
  envs: fromEnvironment('OPENAI_API_KEY'),
  timeoutMs: 3_600_000,
})
const set = (key: string, value: string) =>
  sandbox.commands.run(`openclaw config set ${key} ${value}`, { timeoutMs: 180_000 })
await set('agents.defaults.model.primary', 'openai/gpt-5.2')
// without these two the browser must first be paired: `openclaw devices approve`
await set('gateway.controlUi.allowInsecureAuth', 'true')
await set('gateway.controlUi.dangerouslyDisableDeviceAuth', 'true')
await sandbox.commands.run(
  `openclaw gateway --allow-unconfigured --bind lan --auth token --token ${token} --port ${PORT}`,
  { background: true, timeoutMs: 0 },
)

const url = `https://${sandbox.getHost(PORT)}`
await answers(url)
console.log(`Open ${url}/?token=${token}`)
console.log(`End it with: e2b sandbox kill ${sandbox.sandboxId}`)
