// Starts the OpenClaw gateway: a web page to chat with agents, open to everybody who has the token.
import { Sandbox } from 'e2b'
import { answers, fromEnvironment, template } from '../environment.ts'

const PORT = 18789
const token = process.env.OPENCLAW_APP_TOKEN ?? crypto.randomUUID()

const sandbox = await Sandbox.create(template('openclaw'), {
  envs: fromEnvironment('OPENAI_API_KEY'),
  timeoutMs: 3_600_000,
})
const settings = [
  { path: 'agents.defaults.model.primary', value: 'openai/gpt-5.2' },
  // without these two the browser must first be paired: `openclaw devices approve`
  { path: 'gateway.controlUi.allowInsecureAuth', value: true },
  { path: 'gateway.controlUi.dangerouslyDisableDeviceAuth', value: true },
]
// in one call: each command of openclaw takes some 12 s
await sandbox.commands.run(`openclaw config set --batch-json '${JSON.stringify(settings)}'`, {
  timeoutMs: 180_000,
})
const gateway = await sandbox.commands.run(
  `openclaw gateway --allow-unconfigured --bind lan --auth token --token ${token} --port ${PORT}`,
  { background: true, timeoutMs: 0 },
)

const url = `https://${sandbox.getHost(PORT)}`
await answers(url)
// the gateway keeps running; without this call the program would wait for the gateway's output
await gateway.disconnect()
console.log(`Open ${url}/?token=${token}`)
console.log(`End it with: e2b sandbox kill ${sandbox.sandboxId}`)
