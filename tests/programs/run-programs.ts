import { failureList, record } from '../matrix/document.ts'
import { failuresOf, resultOf, type Step } from '../matrix/steps.ts'
import type { ThirdParty } from './programs.ts'
import { e2bOf, runThirdParty } from './run-third-party.ts'

interface Row {
  program: ThirdParty
  e2b: string
  steps: Step[]
}

export const nameOfProgram = ({ registry, package: name, version }: ThirdParty): string =>
  `programs ${registry} ${name} ${version}`

/**
 * Runs the program of every package, one after the other: their imports alone keep a processor busy.
 * @param isWhole whether the table in the document is written anew
 * @returns whether every step succeeded
 */
export async function runPrograms(
  programs: ThirdParty[],
  env: Record<string, string>,
  isWhole: boolean,
): Promise<boolean> {
  const rows: Row[] = []
  for (const program of programs) {
    const steps = await runThirdParty(program, env).catch((error: Error) => [
      { step: 'install', ok: false, error: error.message.slice(0, 300) },
    ])
    const e2b = await e2bOf(program).catch(() => 'none')
    rows.push({ program, e2b, steps })
    process.stdout.write(`${rows.length}/${programs.length} ${nameOfProgram(program)}  ${resultOf(steps)}\n`)
    for (const { step, error } of failuresOf(steps)) process.stdout.write(`  ${step}: ${error}\n`)
  }
  if (isWhole) record('programs', `${rows.length} packages.\n\n${tableOf(rows)}`)
  return rows.every(({ steps }) => failuresOf(steps).length === 0)
}

function tableOf(rows: Row[]): string {
  const lines = [
    '| package | version | brings e2b | templates | what was done | result |',
    '|---|---|---|---|---|---|',
  ]
  for (const { program, e2b, steps } of rows) {
    const done = steps.map(({ step }) => step).join('; ')
    const name = `${program.registry} ${program.package}`
    lines.push(
      `| ${name} | ${program.version} | ${e2b} | ${program.templates} | ${done} | ${resultOf(steps)} |`,
    )
  }
  const notes = rows.flatMap(({ program: { package: name, note } }) => (note ? [`- ${name}: ${note}.`] : []))
  const runs = rows.map(({ program, steps }) => ({ who: program.package, steps }))
  return [...lines, '', ...notes, ...failureList(runs)].join('\n')
}
