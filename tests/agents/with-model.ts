import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Template } from 'e2b'
import { waitForTemplate } from '../catalogue/ready.ts'
import { server } from '../conformance/official.ts'
import { LLM_PORT, LLM_URL } from './workspace.ts'

/** URL of the repository that tests clone. */
export const ORIGIN = 'file:///opt/origin.git'
export const BOT_TOKEN = '123456:stub'
export const BOT_RECORD = '/tmp/bot.jsonl'
export const MODEL_RECORD = '/tmp/model.jsonl'
export const BOT_URL = 'http://127.0.0.1:8901'

const STUBS = '/opt/stubs'
const tests = join(import.meta.dirname, '..')

/** Configuration that points an agent without an environment variable for it to the model. */
const configure: Record<string, string> = {
  codex: `sed -i '1i openai_base_url = "${LLM_URL}/v1"' ~/.codex/config.toml`,
  openclaw: `openclaw config set --batch-json '${JSON.stringify([
    { path: 'models.providers.openai.baseUrl', value: `${LLM_URL}/v1` },
    { path: 'models.providers.openai.models', value: [] },
    { path: 'channels.telegram.apiRoot', value: BOT_URL },
  ])}'`,
}

const seedRepository = [
  'git init --quiet --initial-branch=main /tmp/seed && cd /tmp/seed',
  "echo '# A project' > README.md && git add .",
  "git -c user.name=Seed -c user.email=seed@example.com commit --quiet --message 'First'",
  'sudo git clone --quiet --bare /tmp/seed /opt/origin.git && sudo chown -R user: /opt/origin.git',
  'rm -rf /tmp/seed',
].join(' && ')

const startStubs = [
  `node ${STUBS}/llm/server.ts --port ${LLM_PORT} --record ${MODEL_RECORD} &`,
  `node ${STUBS}/telegram-bot-api.ts --port ${new URL(BOT_URL).port} --token ${BOT_TOKEN} --record ${BOT_RECORD} & wait`,
].join(' ')

/**
 * Builds a template on top of an agent's in whose sandboxes run the scripted model and the stub of Telegram's Bot API, beside a
 * repository to clone: programs that do not know the tests start from it by name.
 * @returns the name of the template
 */
export async function buildWithModel(agent: string): Promise<string> {
  await waitForTemplate(agent)
  const name = `${agent}-with-model`
  const context = join(server.home, 'with-model', agent)
  await mkdir(context, { recursive: true })
  try {
    await cp(join(tests, 'llm'), join(context, 'llm'), { recursive: true })
    await cp(join(tests, 'agents/telegram-bot-api.ts'), join(context, 'telegram-bot-api.ts'))
    await writeFile(join(context, 'package.json'), '{"type":"module"}')
    const template = Template({ fileContextPath: context })
      .fromTemplate(agent)
      .copy('llm', `${STUBS}/llm`, { user: 'root' })
      .copy(['telegram-bot-api.ts', 'package.json'], `${STUBS}/`, { user: 'root' })
      .runCmd(seedRepository)
      .runCmd(configure[agent] ?? 'true')
      .setStartCmd(startStubs, `curl -s ${LLM_URL} && curl -s ${BOT_URL}`)
    await Template.build(template, name, { memoryMB: 2048 })
  } finally {
    await rm(context, { recursive: true, force: true })
  }
  return name
}
