import type { Step } from '../step.ts'

/**
 * Writes the steps of a template as a Dockerfile. A step that runs as another user is put between two USER
 * instructions.
 */
export function writeDockerfile(fromImage: string, steps: Step[], startCmd?: string): string {
  const lines = [`FROM ${fromImage}`]
  let user: string | undefined
  for (const { type, args } of steps) {
    const [first = '', second = '', owner, mode] = args
    if (type === 'RUN') {
      const isOther = second !== '' && user !== undefined && second !== user
      lines.push(...(isOther ? [`USER ${second}`, run(first), `USER ${user}`] : [run(first)]))
    } else if (type === 'COPY') {
      const flags = [owner && `--chown=${owner}`, mode && `--chmod=${mode}`].filter(Boolean)
      lines.push(['COPY', ...flags, ...copyPaths(first, second)].join(' '))
    } else if (type === 'ENV') {
      lines.push(`ENV ${pairs(args).join(' ')}`)
    } else {
      if (type === 'USER') user = first
      lines.push(`${type} ${first}`)
    }
  }
  if (startCmd !== undefined) lines.push(`ENTRYPOINT ${startCmd}`)
  return `${lines.join('\n')}\n`
}

/**
 * Writes a RUN instruction. A command of several lines becomes a here-document, as the end of a line ends an
 * instruction.
 */
function run(command: string): string {
  if (!command.includes('\n')) return `RUN ${command}`
  let name = 'SCRIPT'
  while (command.split('\n').includes(name)) name += '_'
  return `RUN <<'${name}'\n${command}\n${name}`
}

const copyPaths = (src: string, dest: string): string[] =>
  /\s/.test(src + dest) ? [JSON.stringify([src, dest])] : [src, dest]

function pairs(args: string[]): string[] {
  const list: string[] = []
  for (let at = 0; at < args.length; at += 2) list.push(`${args[at]}=${envValue(args[at + 1] ?? '')}`)
  return list
}

/** Quotes a value that contains white space or quotes. Keeps `$NAME` and `\$`, which Docker reads like the builder. */
const envValue = (value: string): string =>
  /[\s"']|\\(?!\$)/.test(value) ? `"${value.replace(/"|\\(?!\$)/g, '\\$&')}"` : value
