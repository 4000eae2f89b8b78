// Amp works on a clone, then continues the same thread.
import { Sandbox } from 'e2b'
import { fromEnvironment, repository, task, template } from '../environment.ts'

const sandbox = await Sandbox.create(template('amp'), {
  envs: fromEnvironment('AMP_API_KEY', 'AMP_URL'),
  timeoutMs: 600_000,
})
try {
  await sandbox.git.clone(repository, { path: '/home/user/repo', depth: 1 })
  const inRepository = { cwd: '/home/user/repo', envs: { TASK: task }, timeoutMs: 300_000 }
  const work = await sandbox.commands.run(
    'amp --dangerously-allow-all --stream-json -x "$TASK"',
    inRepository,
  )
  for (const line of work.stdout.trim().split('\n')) {
    const event = JSON.parse(line)
    console.log(event.type, event.message?.usage?.output_tokens ?? '')
  }

  const threads = JSON.parse((await sandbox.commands.run('amp threads list --json')).stdout)
  const followUp = await sandbox.commands.run(
    `amp threads continue ${threads[0].id} --dangerously-allow-all -x "Now list what you changed"`,
    inRepository,
  )
  console.log(followUp.stdout)
  console.log((await sandbox.commands.run('git diff', inRepository)).stdout)
} finally {
  await sandbox.kill()
}
