// OpenClaw answers in Telegram. Write to your bot, then run again with SANDBOX and the PAIRING_CODE that it answers with.
import { Sandbox } from 'e2b'
import { fromEnvironment, template } from '../environment.ts'

const { SANDBOX, PAIRING_CODE } = process.env
const sandbox = SANDBOX
  ? await Sandbox.connect(SANDBOX)
  : await Sandbox.create(template('openclaw'), {
      envs: {
        ...fromEnvironment('OPENAI_API_KEY', 'TELEGRAM_BOT_TOKEN'),
        // for the gateway, and for the commands that call it
        OPENCLAW_GATEWAY_TOKEN: crypto.randomUUID(),
      },
      timeoutMs: 3_600_000,
    })
const openclaw = (words: string) => sandbox.commands.run(`openclaw ${words}`, { timeoutMs: 180_000 })

if (PAIRING_CODE) {
  await openclaw(`pairing approve --channel telegram ${PAIRING_CODE}`)
  console.log((await openclaw('channels status --json --probe')).stdout)
} else {
  const settings = [
    { path: 'agents.defaults.model.primary', value: 'openai/gpt-5.2' },
    { path: 'plugins.entries.telegram.enabled', value: true },
  ]
  await openclaw(`config set --batch-json '${JSON.stringify(settings)}'`)
  await openclaw('channels add --channel telegram --token "$TELEGRAM_BOT_TOKEN"')
  const flags = '--allow-unconfigured --bind lan --auth token --token "$OPENCLAW_GATEWAY_TOKEN" --port 18789'
  const gateway = await sandbox.commands.run(`openclaw gateway ${flags}`, { background: true, timeoutMs: 0 })
  // the gateway keeps running; without this call the program would wait for the gateway's output
  await gateway.disconnect()
  console.log(`Write to the bot, then run this with SANDBOX=${sandbox.sandboxId} and PAIRING_CODE`)
}
