// `npm run matrix`: every pinned client in every address form against a server of its own; the table goes to docs/compatibility.md.
// `npm run matrix -- PyPI 2.7` tries those alone, whose name holds all of the words, and writes nothing.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startServer } from '../server.ts'
import { interpreterClients, npmClients, type PinnedClient, pypiClients } from './clients.ts'
import { FORMS, type Form, runProgram, type Step } from './run-client.ts'

const DOCUMENT = join(import.meta.dirname, '../../docs/compatibility.md')
const BEGIN = '<!-- by npm run matrix -->'
const END = '<!-- end -->'
/** As many programs at a time: they wait more than they work. */
const AT_A_TIME = 3
const TEMPLATE_TIMEOUT_MS = 40 * 60_000

interface Row {
  client: PinnedClient
  steps: Partial<Record<Form, Step[]>>
}

const nameOf = ({ registry, package: name, version }: PinnedClient): string =>
  `${registry} ${name} ${version}`

const words = process.argv.slice(2)
const clients = [...npmClients, ...pypiClients, ...interpreterClients].filter((client) =>
  words.every((word) => nameOf(client).includes(word)),
)
if (clients.length === 0) {
  process.stderr.write(
    `no client of tests/matrix/clients.ts has "${words.join('" and "')}" in its name, as in: npm e2b 2.51.0\n`,
  )
  process.exit(2)
}

const failuresOf = (steps: Step[] | undefined): Step[] => steps?.filter(({ ok }) => ok === false) ?? []

async function runAll(env: Record<string, string>): Promise<Row[]> {
  const rows = clients.map((client): Row => ({ client, steps: {} }))
  const waiting = [...rows]
  let done = 0
  async function work(): Promise<void> {
    for (let row = waiting.shift(); row; row = waiting.shift()) {
      for (const form of FORMS) {
        row.steps[form] = await runProgram(row.client, form, env).catch((error: Error) => [
          { step: 'install', ok: false, error: error.message.slice(0, 300) },
        ])
      }
      done++
      const failures = FORMS.map((form) => `${form}: ${resultOf(row.steps[form])}`)
      process.stdout.write(`${done}/${rows.length} ${nameOf(row.client)}  ${failures.join('  ')}\n`)
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, work))
  return rows
}

function resultOf(steps: Step[] | undefined): string {
  const failed = failuresOf(steps)
  return failed.length === 0 ? 'all' : `not ${failed.map(({ step }) => step).join(', ')}`
}

/** One line a version, and below it what the failing steps said, each once. */
function tableOf(rows: Row[]): string {
  const lines = ['| client | by host | by one URL |', '|---|---|---|']
  for (const { client, steps } of rows)
    lines.push(`| ${nameOf(client)} | ${resultOf(steps.host)} | ${resultOf(steps.url)} |`)
  const failures = rows.flatMap(({ client, steps }) =>
    FORMS.flatMap((form) =>
      failuresOf(steps[form]).map(({ step, error }) => ({
        who: `${nameOf(client)} by ${form}`,
        step,
        error,
      })),
    ),
  )
  if (failures.length > 0) lines.push('', 'What failing steps said:', '')
  for (const { who, step, error } of failures)
    lines.push(`- ${who}, ${step}: \`${error?.replaceAll('`', "'").replaceAll(/\s+/g, ' ')}\``)
  return lines.join('\n')
}

function record(rows: Row[]): void {
  const document = readFileSync(DOCUMENT, 'utf8')
  const before = document.slice(0, document.indexOf(BEGIN) + BEGIN.length)
  const after = document.slice(document.indexOf(END))
  const today = new Date().toISOString().slice(0, 10)
  writeFileSync(
    DOCUMENT,
    `${before}\n\nMade on ${today}, ${rows.length} clients.\n\n${tableOf(rows)}\n\n${after}`,
  )
}

/** The interpreter's template takes minutes on a machine that has never built it. */
async function waitForInterpreter(env: Record<string, string>): Promise<void> {
  const deadline = Date.now() + TEMPLATE_TIMEOUT_MS
  for (;;) {
    const response = await fetch(`${env.E2B_API_URL}/v2/sandboxes`, {
      method: 'POST',
      headers: { 'x-api-key': env.E2B_API_KEY!, 'content-type': 'application/json' },
      body: JSON.stringify({ templateID: 'code-interpreter-v1', timeout: 15 }),
      signal: AbortSignal.timeout(60_000),
    })
    if (response.ok) return
    const text = await response.text()
    if (response.status !== 409 || Date.now() > deadline)
      throw new Error(`code-interpreter-v1 did not get ready: ${text}`)
    await new Promise((resolve) => setTimeout(resolve, 2_000))
  }
}

const needsInterpreter = clients.some((client) => client.package === 'code-interpreter')
const server = await startServer({
  name: 'matrix',
  port: 13_120,
  networkRange: '10.189.0.0/16',
  flags: needsInterpreter ? ['--catalog', 'code-interpreter-v1'] : [],
})
try {
  const { env } = server.info()
  if (needsInterpreter) await waitForInterpreter(env)
  const rows = await runAll(env)
  if (words.length === 0) record(rows)
  process.exitCode = rows.some(({ steps }) => FORMS.some((form) => failuresOf(steps[form]).length > 0))
    ? 1
    : 0
} finally {
  await server.purge()
}
