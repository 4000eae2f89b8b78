// Runs the tests of a pull request in a sandbox. The exit code is that of the tests.
import { appendFileSync } from 'node:fs'
import { CommandExitError, Sandbox } from 'e2b'

const {
  GITHUB_SERVER_URL: server = 'https://github.com',
  HEAD_REPOSITORY: repository,
  GITHUB_HEAD_REF: branch,
  GITHUB_TOKEN: token,
  GITHUB_STEP_SUMMARY: summary,
  INSTALL = 'npm ci',
  TESTS = 'npm test',
} = process.env

const sandbox = await Sandbox.create({ timeoutMs: 600_000, metadata: { purpose: 'ci', branch } })
try {
  await sandbox.git.clone(`${server}/${repository}.git`, {
    path: '/home/user/repo',
    branch,
    depth: 1,
    // the token is used for this request and is not kept in the sandbox
    ...(token && { username: 'x-access-token', password: token }),
  })
  const opts = {
    cwd: '/home/user/repo',
    timeoutMs: 540_000,
    onStdout: (text) => process.stdout.write(text),
    onStderr: (text) => process.stderr.write(text),
  }
  await sandbox.commands.run(INSTALL, opts)
  await sandbox.commands.run(TESTS, opts)
  report('The tests passed.')
} catch (error) {
  if (!(error instanceof CommandExitError)) throw error
  report(`A command ended with exit code ${error.exitCode}.`)
  process.exitCode = error.exitCode
} finally {
  await sandbox.kill()
}

function report(text) {
  console.log(text)
  if (summary) appendFileSync(summary, `${text}\n`)
}
