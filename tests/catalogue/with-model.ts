import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Template, waitForPort } from 'e2b'
import { server } from '../conformance/official.ts'
import { waitForTemplate } from './ready.ts'
import { LLM_PORT, LLM_URL } from './workspace.ts'

const tests = join(import.meta.dirname, '..')
const MODEL = '/opt/llm'
const BOT = '/opt/bot'
/** What a test names as REPOSITORY. */
export const ORIGIN = 'file:///opt/origin.git'
export const BOT_PORT = 8901
export const BOT_TOKEN = '123456:stub'
export const BOT_RECORD = '/tmp/bot.jsonl'

const run = promisify(execFile)

/** What an agent is told about the model beside environment variables. */
const configuration: Record<string, { path: string; text: string }> = {
  codex: {
    path: '/home/user/.codex/config.toml',
    text: `openai_base_url = "${LLM_URL}/v1"\n[sandbox_workspace_write]\nnetwork_access = true\n`,
  },
  openclaw: {
    path: '/home/user/.openclaw/openclaw.json',
    text: JSON.stringify({
      // as templates/openclaw/openclaw.json, which this takes the place of
      gateway: { controlUi: { dangerouslyAllowHostHeaderOriginFallback: true } },
      channels: { telegram: { apiRoot: `http://127.0.0.1:${BOT_PORT}` } },
      models: { providers: { openai: { baseUrl: `${LLM_URL}/v1`, models: [] } } },
    }),
  },
}

/**
 * Builds a template on top of an agent's, with the scripted model running in each of its sandboxes and a repository to clone: programs
 * that know nothing of the tests use it by its name.
 * @returns the name
 */
export async function buildWithModel(agent: string): Promise<string> {
  await waitForTemplate(agent)
  const name = `${agent}-with-model`
  const context = join(server.home, 'with-model', agent)
  await mkdir(context, { recursive: true })
  try {
    await run('cp', ['-r', join(tests, 'llm'), join(tests, 'catalogue/telegram-bot-api.ts'), context])
    await writeFile(join(context, 'package.json'), '{"type":"module"}')
    await writeFile(join(context, 'configuration'), configuration[agent]?.text ?? '')
    const template = Template({ fileContextPath: context })
      .fromTemplate(agent)
      .copy('llm', MODEL, { user: 'root' })
      .copy('package.json', `${MODEL}/`, { user: 'root' })
      .copy('telegram-bot-api.ts', `${BOT}/`, { user: 'root' })
      .copy('package.json', `${BOT}/`, { user: 'root' })
      .copy('configuration', configuration[agent]?.path ?? '/opt/configuration', { user: 'user' })
      .runCmd(
        [
          'git init --quiet --initial-branch=main /tmp/seed && cd /tmp/seed',
          "echo '# A project' > README.md && git add .",
          "git -c user.name=Seed -c user.email=seed@example.com commit --quiet --message 'First'",
          'git clone --quiet --bare /tmp/seed /opt/origin.git && rm -rf /tmp/seed',
          'chown -R user:user /opt/origin.git',
        ].join(' && '),
        { user: 'root' },
      )
      .setStartCmd(
        [
          `node ${MODEL}/server.ts --port ${LLM_PORT} --record /tmp/llm.jsonl &`,
          `node ${BOT}/telegram-bot-api.ts --port ${BOT_PORT} --token ${BOT_TOKEN} --record ${BOT_RECORD} & wait`,
        ].join(' '),
        waitForPort(BOT_PORT),
      )
    await Template.build(template, name, { memoryMB: 2048 })
  } finally {
    await rm(context, { recursive: true, force: true })
  }
  return name
}
