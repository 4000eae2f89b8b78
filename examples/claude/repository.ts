// Claude Code works on a clone; each event is printed as it arrives; a second task continues the same session.
import { Sandbox } from 'e2b'
import { fromEnvironment, repository, task, template } from '../environment.ts'

const sandbox = await Sandbox.create(template('claude'), {
  envs: fromEnvironment('ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL'),
  timeoutMs: 600_000,
})
try {
  await sandbox.git.clone(repository, { path: '/home/user/repo', depth: 1 })
  const claude = 'cd /home/user/repo && claude --dangerously-skip-permissions'

  let sessionId = ''
  let rest = ''
  await sandbox.commands.run(`${claude} --output-format stream-json -p "$TASK"`, {
    envs: { TASK: task },
    timeoutMs: 300_000,
    onStdout(data) {
      const lines = (rest + data).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const event = JSON.parse(line)
        if (event.type === 'assistant') console.log(`assistant: ${event.message.usage?.output_tokens} tokens`)
        if (event.type === 'result') {
          sessionId = event.session_id
          console.log(`${event.subtype} in ${event.duration_ms} ms: ${event.result}`)
        }
      }
    },
  })

  const followUp = await sandbox.commands.run(
    `${claude} --resume ${sessionId} -p "Now list what you changed"`,
    {
      timeoutMs: 300_000,
    },
  )
  console.log(followUp.stdout)
  console.log((await sandbox.commands.run('cd /home/user/repo && git diff')).stdout)
} finally {
  await sandbox.kill()
}
