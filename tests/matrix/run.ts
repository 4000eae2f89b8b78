// `npm run matrix`: every pinned client in every address form, and every program of tests/programs, against a server of its own;
// the tables go to docs/compatibility.md. `npm run matrix -- programs` and `-- clients` try one of them and write its table;
// `npm run matrix -- PyPI 2.7` tries those whose name holds all of the words, and writes nothing.
import { programs } from '../programs/programs.ts'
import { nameOfProgram, runPrograms } from '../programs/run-programs.ts'
import { startServer } from '../server.ts'
import { waitForTemplateOf } from '../template-ready.ts'
import { interpreterClients, npmClients, pypiClients } from './clients.ts'
import { nameOfClient, runClients } from './run-clients.ts'

/** The interpreter's template takes minutes on a machine that has never built it. */
const TEMPLATE_TIMEOUT_MS = 40 * 60_000

const words = process.argv.slice(2)
const isChosen = (name: string) => words.every((word) => name.includes(word))
const allClients = [...npmClients, ...pypiClients, ...interpreterClients]
const clients = allClients.filter((client) => isChosen(`clients ${nameOfClient(client)}`))
const chosenPrograms = programs.filter((program) => isChosen(nameOfProgram(program)))
if (clients.length + chosenPrograms.length === 0) {
  process.stderr.write(
    `nothing in tests/matrix/clients.ts and tests/programs/programs.ts has "${words.join('" and "')}" in its name, as in: clients npm e2b 2.51.0, or: programs PyPI smolagents\n`,
  )
  process.exit(2)
}

const needsInterpreter =
  clients.some((client) => client.package === 'code-interpreter') ||
  chosenPrograms.some(({ templates }) => templates.includes('code-interpreter-v1'))
const server = await startServer({
  name: 'matrix',
  port: 13_120,
  networkRange: '10.189.0.0/16',
  flags: needsInterpreter ? ['--catalog', 'code-interpreter-v1'] : [],
})
try {
  const { env } = server.info()
  const interpreter = needsInterpreter
    ? waitForTemplateOf(env, 'code-interpreter-v1', TEMPLATE_TIMEOUT_MS)
    : Promise.resolve()
  // the template is awaited where it is needed
  interpreter.catch(() => {})
  const areClientsWell = await runClients(clients, env, interpreter, clients.length === allClients.length)
  await interpreter
  const areProgramsWell = await runPrograms(chosenPrograms, env, chosenPrograms.length === programs.length)
  process.exitCode = areClientsWell && areProgramsWell ? 0 : 1
} finally {
  await server.purge()
}
