import type { PinnedClient } from './clients.ts'
import { failureList, record } from './document.ts'
import { FORMS, type Form, runProgram } from './run-client.ts'
import { failuresOf, resultOf, type Step } from './steps.ts'
import { forEachAtATime } from './work.ts'

/** Concurrent programs: they wait more than they work. */
const AT_A_TIME = 3

interface Row {
  client: PinnedClient
  steps: Partial<Record<Form, Step[]>>
}

export const nameOfClient = ({ registry, package: name, version }: PinnedClient): string =>
  `${registry} ${name} ${version}`

/**
 * Runs the program with every client in every address form.
 * @param interpreter awaited before clients of the code interpreter: the others need not wait for its template
 * @param isWhole whether the table in the document is written anew
 * @returns whether every step succeeded
 */
export async function runClients(
  clients: PinnedClient[],
  env: Record<string, string>,
  interpreter: Promise<void>,
  isWhole: boolean,
): Promise<boolean> {
  const rows = clients.map((client): Row => ({ client, steps: {} }))
  let done = 0
  await forEachAtATime(rows, AT_A_TIME, async (row) => {
    if (row.client.package === 'code-interpreter') await interpreter
    for (const form of FORMS) {
      row.steps[form] = await runProgram(row.client, form, env).catch((error: Error) => [
        { step: 'install', ok: false, error: error.message.slice(0, 300) },
      ])
    }
    done++
    const results = FORMS.map((form) => `${form}: ${resultOf(row.steps[form])}`)
    process.stdout.write(`${done}/${rows.length} ${nameOfClient(row.client)}  ${results.join('  ')}\n`)
  })
  if (isWhole) record('clients', `${rows.length} clients.\n\n${tableOf(rows)}`)
  return rows.every(({ steps }) => FORMS.every((form) => failuresOf(steps[form]).length === 0))
}

/** Makes a table with a line for each version, and below it each message of failed steps once. */
function tableOf(rows: Row[]): string {
  const lines = ['| client | by host | by one URL |', '|---|---|---|']
  for (const { client, steps } of rows)
    lines.push(`| ${nameOfClient(client)} | ${resultOf(steps.host)} | ${resultOf(steps.url)} |`)
  const runs = rows.flatMap(({ client, steps }) =>
    FORMS.map((form) => ({ who: `${nameOfClient(client)} by ${form}`, steps: steps[form] })),
  )
  return [...lines, ...failureList(runs)].join('\n')
}
