// Codex works on a clone and prints its events; then it reviews the result and answers as JSON that follows a schema.
import { Sandbox } from 'e2b'
import { fromEnvironment, repository, task, template } from '../environment.ts'

const reviewSchema = {
  type: 'object',
  properties: {
    issues: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          file: { type: 'string' },
          severity: { type: 'string', enum: ['low', 'medium', 'high'] },
          description: { type: 'string' },
        },
        required: ['file', 'severity', 'description'],
        additionalProperties: false,
      },
    },
  },
  required: ['issues'],
  additionalProperties: false,
}

const sandbox = await Sandbox.create(template('codex'), {
  envs: fromEnvironment('CODEX_API_KEY'),
  timeoutMs: 600_000,
})
try {
  await sandbox.git.clone(repository, { path: '/home/user/repo', depth: 1 })
  const codex = 'codex exec --full-auto --skip-git-repo-check -C /home/user/repo'

  const { stdout } = await sandbox.commands.run(`${codex} --json "$TASK"`, {
    envs: { TASK: task },
    timeoutMs: 300_000,
  })
  for (const line of stdout.trim().split('\n')) {
    const event = JSON.parse(line)
    console.log(event.type, event.item?.type ?? '')
  }
  console.log((await sandbox.commands.run('cd /home/user/repo && git diff')).stdout)

  await sandbox.files.write('/home/user/schema.json', JSON.stringify(reviewSchema))
  const review = await sandbox.commands.run(
    `${codex} --output-schema /home/user/schema.json "Review this code for security issues"`,
    { timeoutMs: 300_000 },
  )
  console.table(JSON.parse(review.stdout).issues)
} finally {
  await sandbox.kill()
}
