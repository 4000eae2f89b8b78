import { type BuildSizes, type Definition, pairsOf, type Step } from './definition.ts'

/** A JavaScript string literal; single quotes as in the documentation. */
const literal = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

/** `template.ts` */
export function renderTypeScriptTemplate(definition: Definition): string {
  const base = definition.fromTemplate
    ? `.fromTemplate(${literal(definition.fromTemplate)})`
    : `.fromImage(${literal(definition.fromImage ?? 'e2bdev/base')})`
  const calls = [base, ...definition.steps.map(renderStep), ...renderReady(definition)]
  return `import { Template } from 'e2b'\n\nexport const template = Template()\n${calls.map((call) => `  ${call}`).join('\n')}\n`
}

/** `build.dev.ts` and `build.prod.ts` */
export function renderTypeScriptBuild(name: string, { cpuCount, memoryMB }: BuildSizes): string {
  const options = [
    ...(cpuCount === undefined ? [] : [`cpuCount: ${cpuCount},`]),
    ...(memoryMB === undefined ? [] : [`memoryMB: ${memoryMB},`]),
    'onBuildLogs: defaultBuildLogger(),',
  ]
  return `import { defaultBuildLogger, Template } from 'e2b'
import { template } from './template'

async function main() {
  await Template.build(template, ${literal(name)}, {
${options.map((option) => `    ${option}`).join('\n')}
  })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
`
}

function renderStep({ type, args }: Step): string {
  const [first = '', second = '', owner = '', mode = ''] = args
  switch (type) {
    case 'RUN':
      return `.runCmd(${literal(first)}${second ? `, { user: ${literal(second)} }` : ''})`
    case 'ENV':
      return `.setEnvs({ ${pairsOf(args)
        .map(([name, value]) => `${literal(name)}: ${literal(value)}`)
        .join(', ')} })`
    case 'WORKDIR':
      return `.setWorkdir(${literal(first)})`
    case 'USER':
      return `.setUser(${literal(first)})`
    case 'COPY': {
      const options = [
        ...(owner ? [`user: ${literal(owner)}`] : []),
        ...(mode ? [`mode: 0o${mode.replace(/^0+/, '')}`] : []),
      ]
      return `.copy(${literal(first)}, ${literal(second)}${options.length > 0 ? `, { ${options.join(', ')} }` : ''})`
    }
  }
}

function renderReady({ startCmd, readyCmd }: Definition): string[] {
  if (startCmd) return [`.setStartCmd(${literal(startCmd)}, ${literal(readyCmd ?? 'sleep 20')})`]
  return readyCmd ? [`.setReadyCmd(${literal(readyCmd)})`] : []
}
