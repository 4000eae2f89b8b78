import { type BuildSizes, type Definition, pairsOf, type Step } from './definition.ts'

/** Every JSON string is a Python string. */
const literal = (text: string): string => JSON.stringify(text)

export interface Flavour {
  isAsync: boolean
}

/** `template.py` */
export function renderPythonTemplate(definition: Definition, { isAsync }: Flavour): string {
  const factory = isAsync ? 'AsyncTemplate' : 'Template'
  const base = definition.fromTemplate
    ? `.from_template(${literal(definition.fromTemplate)})`
    : `.from_image(${literal(definition.fromImage ?? 'e2bdev/base')})`
  const calls = [`${factory}()`, base, ...definition.steps.map(renderStep), ...renderReady(definition)]
  return `from e2b import ${factory}\n\ntemplate = (\n${calls.map((call) => `    ${call}`).join('\n')}\n)\n`
}

/** `build_dev.py` and `build_prod.py` */
export function renderPythonBuild(name: string, sizes: BuildSizes, { isAsync }: Flavour): string {
  const args = [
    'template,',
    `${literal(name)},`,
    ...(sizes.cpuCount === undefined ? [] : [`cpu_count=${sizes.cpuCount},`]),
    ...(sizes.memoryMB === undefined ? [] : [`memory_mb=${sizes.memoryMB},`]),
    'on_build_logs=default_build_logger(),',
  ]
  const factory = isAsync ? 'AsyncTemplate' : 'Template'
  const call = `    ${isAsync ? 'await ' : ''}${factory}.build(\n${args.map((arg) => `        ${arg}`).join('\n')}\n    )\n`
  const head = `from e2b import ${factory}, default_build_logger\n\nfrom template import template\n\n\n`
  return isAsync
    ? `import asyncio\n\n${head}async def main():\n${call}\n\nif __name__ == "__main__":\n    asyncio.run(main())\n`
    : `${head}if __name__ == "__main__":\n${call}`
}

function renderStep({ type, args }: Step): string {
  const [first = '', second = '', owner = '', mode = ''] = args
  switch (type) {
    case 'RUN':
      return `.run_cmd(${literal(first)}${second ? `, user=${literal(second)}` : ''})`
    case 'ENV':
      return `.set_envs({${pairsOf(args)
        .map(([name, value]) => `${literal(name)}: ${literal(value)}`)
        .join(', ')}})`
    case 'WORKDIR':
      return `.set_workdir(${literal(first)})`
    case 'USER':
      return `.set_user(${literal(first)})`
    case 'COPY': {
      const user = owner ? `, user=${literal(owner)}` : ''
      return `.copy(${literal(first)}, ${literal(second)}${user}${mode ? `, mode=0o${mode.replace(/^0+/, '')}` : ''})`
    }
  }
}

function renderReady({ startCmd, readyCmd }: Definition): string[] {
  if (startCmd) return [`.set_start_cmd(${literal(startCmd)}, ${literal(readyCmd ?? 'sleep 20')})`]
  return readyCmd ? [`.set_ready_cmd(${literal(readyCmd)})`] : []
}
