import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Sandbox, type SandboxOpts } from 'e2b-official'
import { waitForTemplate } from '../catalogue/ready.ts'
import { currentByHost, useEnvironment } from '../conformance/official.ts'
import type { RecordedRequest } from '../llm/server.ts'

export const LLM_PORT = 8900
export const LLM_URL = `http://127.0.0.1:${LLM_PORT}`
export const REPOSITORY = '/home/user/repo'

const LLM_FOLDER = '/tmp/llm'
const RECORD = `${LLM_FOLDER}/requests.jsonl`
const ORIGIN = '/tmp/origin.git'
const SANDBOX_TIMEOUT_MS = 900_000

export interface Workspace {
  sandbox: Sandbox
  /** Requests of the agent to the model so far. */
  requests(): Promise<RecordedRequest[]>
  /** Changes in the repository, with new files. */
  diff(): Promise<string>
}

/**
 * A sandbox of a template with the scripted model running inside, so that no request has to leave the sandbox, and a repository that was
 * cloned as the documentation does.
 */
export async function startWorkspace(template: string, opts: SandboxOpts = {}): Promise<Workspace> {
  await waitForTemplate(template)
  useEnvironment(currentByHost)
  const sandbox = await Sandbox.create(template, { timeoutMs: SANDBOX_TIMEOUT_MS, ...opts })
  try {
    await startLlm(sandbox)
    await cloneRepository(sandbox)
  } catch (error) {
    await sandbox.kill()
    throw error
  }
  return {
    sandbox,
    async requests() {
      const lines = (await sandbox.files.read(RECORD)).trim().split('\n')
      return lines.map((line) => JSON.parse(line) as RecordedRequest)
    },
    async diff() {
      const { stdout } = await sandbox.commands.run(
        `cd ${REPOSITORY} && git add --intent-to-add . && git diff`,
      )
      return stdout
    },
  }
}

/** The scripted model needs only the files of tests/llm. */
export async function startLlm(sandbox: Sandbox): Promise<void> {
  const folder = join(import.meta.dirname, '../llm')
  const names = (await readdir(folder)).filter((name) => !name.endsWith('.test.ts'))
  const files = await Promise.all(
    names.map(async (name) => ({
      path: `${LLM_FOLDER}/${name}`,
      data: await readFile(join(folder, name), 'utf8'),
    })),
  )
  await sandbox.files.write([...files, { path: `${LLM_FOLDER}/package.json`, data: '{"type":"module"}' }])
  const { promise: listens, resolve, reject } = Promise.withResolvers<void>()
  const model = await sandbox.commands.run(
    `node ${LLM_FOLDER}/server.ts --port ${LLM_PORT} --record ${RECORD}`,
    {
      background: true,
      timeoutMs: 0,
      onStdout: () => resolve(),
    },
  )
  model.wait().catch(reject)
  await listens
}

async function cloneRepository(sandbox: Sandbox): Promise<void> {
  await sandbox.commands.run(
    [
      `git init --quiet --bare --initial-branch=main ${ORIGIN}`,
      `git clone --quiet file://${ORIGIN} /tmp/seed`,
      'cd /tmp/seed',
      "echo '# A project' > README.md",
      'git add .',
      "git -c user.name=Seed -c user.email=seed@example.com commit --quiet --message 'First'",
      'git push --quiet',
    ].join(' && '),
  )
  await sandbox.git.clone(`file://${ORIGIN}`, { path: REPOSITORY, depth: 1 })
}
