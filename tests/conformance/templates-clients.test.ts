import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callApi, clients, server, useEnvironment } from './official.ts'
import { pythonOf, pythonVersions } from './python/venv.ts'

const BUILD_TIMEOUT_MS = 180_000
const prefix = `c${process.pid}`
let context: string

beforeAll(async () => {
  context = await mkdtemp(join(tmpdir(), 'sandlot-context-'))
  await writeFile(join(context, 'app.py'), 'print("from a file")\n')
})
afterAll(async () => {
  await rm(context, { recursive: true })
  const templates = (await (await callApi('/templates')).json()) as Array<{ aliases: string[] }>
  for (const { aliases } of templates)
    if (aliases[0]?.startsWith(prefix)) await callApi(`/templates/${aliases[0]}`, { method: 'DELETE' })
}, 60_000)

describe.each(clients.map((client, index) => ({ ...client, index })))('$name', (client) => {
  test(
    'builds from a Dockerfile',
    async () => {
      useEnvironment(client)
      const { Template, Sandbox } = client.e2b
      const dockerfile = [
        'FROM e2bdev/base',
        'ARG WHO=world',
        'ENV GREETING=hello-$WHO',
        'WORKDIR /srv/app',
        'COPY app.py ./',
        'RUN echo "$GREETING" > greeting',
        'CMD ["python3", "-m", "http.server", "8099"]',
      ].join('\n')
      const name = `${prefix}-docker-${client.index}`
      const of = Template({ fileContextPath: context }).fromDockerfile(dockerfile)
      await Template.build(of as never, { alias: name } as never)
      const sandbox = await Sandbox.create(name)
      const { stdout } = await sandbox.commands.run(
        'cat /srv/app/greeting; python3 /srv/app/app.py; curl -s localhost:8099/greeting; whoami; echo "$WHO$GREETING"',
      )
      await sandbox.kill()
      expect(stdout.split('\n')).toEqual(['hello-world', 'from a file', 'hello-world', 'user', '', ''])
    },
    BUILD_TIMEOUT_MS,
  )
})

/** The Python SDK finds files beside the script that builds. */
const script = (name: string) => `
from e2b import Sandbox, Template, default_build_logger
template = (
    Template(file_context_path=".")
    .from_base_image()
    .set_envs({"GREETING": "hello"})
    .set_workdir("/home/user/app")
    .copy("app.py", "app.py")
    .run_cmd("python3 app.py > out; echo $GREETING >> out")
)
Template.build(template, alias="${name}", cpu_count=2, memory_mb=1024)
sandbox = Sandbox.create("${name}")
print(sandbox.commands.run("cat out; echo [$GREETING]; pwd").stdout, end="")
sandbox.kill()
try:
    Template.build(Template().from_base_image().run_cmd("exit 9"), alias="${name}")
except Exception as error:
    print(type(error).__name__, "exit status 9" in str(error))
`

test.each(pythonVersions)(
  'Python e2b %s builds, creates and reports what failed',
  async (version) => {
    const file = join(context, `build-${version}.py`)
    await writeFile(file, script(`${prefix}-python-${version.replaceAll('.', '-')}`))
    const options = { cwd: context, env: { ...process.env, ...server.env }, timeout: BUILD_TIMEOUT_MS }
    const { stdout } = await promisify(execFile)(await pythonOf(version), [file], options)
    expect(stdout).toBe('from a file\nhello\n[]\n/home/user/app\nBuildException True\n')
  },
  400_000,
)
