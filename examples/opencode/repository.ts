// OpenCode works on a clone, then serves its API, which this program calls with the OpenCode SDK.
import { createOpencodeClient } from '@opencode-ai/sdk'
import { Sandbox } from 'e2b'
import { answers, fromEnvironment, repository, task, template } from '../environment.ts'

const sandbox = await Sandbox.create(template('opencode'), {
  envs: fromEnvironment('ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL', 'OPENAI_API_KEY', 'GEMINI_API_KEY'),
  timeoutMs: 600_000,
})
try {
  await sandbox.git.clone(repository, { path: '/home/user/repo', depth: 1 })
  const run = await sandbox.commands.run('cd /home/user/repo && opencode run "$TASK"', {
    envs: { TASK: task },
    timeoutMs: 300_000,
  })
  console.log(run.stdout)
  console.log((await sandbox.commands.run('cd /home/user/repo && git diff')).stdout)

  await sandbox.commands.run('opencode serve --hostname 0.0.0.0 --port 4096', {
    background: true,
    timeoutMs: 0,
  })
  const baseUrl = `https://${sandbox.getHost(4096)}`
  await answers(`${baseUrl}/global/health`)

  const client = createOpencodeClient({ baseUrl })
  const { data: session } = await client.session.create({
    body: { title: 'From the SDK' },
    throwOnError: true,
  })
  const { data: answer } = await client.session.prompt({
    path: { id: session.id },
    body: { parts: [{ type: 'text', text: task }] },
    throwOnError: true,
  })
  for (const part of answer.parts) if (part.type === 'text') console.log(part.text)
} finally {
  await sandbox.kill()
}
