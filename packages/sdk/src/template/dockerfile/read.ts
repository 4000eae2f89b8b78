import { TemplateError } from '../../errors.ts'
import { shellQuote } from '../../shell-quote.ts'
import { copyStep, envStep, runStep, type Step, userStep, workdirStep } from '../step.ts'
import { type DockerInstruction, execForm, parseDockerfile } from './parse.ts'
import { collapseBlanks, expandVariables, splitWords } from './words.ts'

/** A Dockerfile as a template. */
export interface DockerfileTemplate {
  fromImage: string
  steps: Step[]
  startCmd?: string
}

/**
 * Instructions without an equivalent in a template that do not change the files of an image. They are ignored
 * silently.
 */
const WITHOUT_EFFECT = ['EXPOSE', 'VOLUME', 'LABEL', 'MAINTAINER', 'STOPSIGNAL']
/** Instructions that change how a container behaves in Docker. They are ignored with a warning. */
const UNSUPPORTED = ['HEALTHCHECK', 'SHELL', 'ONBUILD']

/**
 * Reads a Dockerfile with one stage. As in Docker, steps run as root in `/` until USER and WORKDIR say otherwise;
 * a file without them ends as `user` in `/home/user`, the defaults of templates.
 *
 * @throws {@link TemplateError} naming the line of an instruction that cannot be converted
 */
export function readDockerfile(content: string): DockerfileTemplate {
  const instructions = parseDockerfile(content)
  const stages = instructions.filter(({ keyword }) => keyword === 'FROM')
  if (stages.length === 0) throw new TemplateError('Dockerfile must contain a FROM instruction')
  if (stages.length > 1) throw new TemplateError('Multi-stage Dockerfiles are not supported')

  const variables = new Map<string, string>()
  const steps: Step[] = [userStep('root'), workdirStep('/')]
  const start: { entrypoint?: DockerInstruction; cmd?: DockerInstruction } = {}
  let fromImage = ''
  for (const instruction of instructions) {
    const { keyword, text } = instruction
    if (text === '' && keyword !== 'CMD' && keyword !== 'ENTRYPOINT')
      throw mistake(instruction, `${keyword} needs an argument`)
    if (keyword === 'FROM') fromImage = expandVariables(text.split(/\s/, 1)[0]!, variables, 'is unset')
    else if (keyword === 'RUN') steps.push(runStep(runCommand(instruction)))
    else if (keyword === 'COPY' || keyword === 'ADD') steps.push(...copySteps(instruction, variables))
    else if (keyword === 'ENV') steps.push(envStep(assignments(instruction, variables)))
    else if (keyword === 'ARG') steps.push(...argSteps(instruction, variables))
    else if (keyword === 'WORKDIR')
      steps.push(workdirStep(expandVariables(unquoted(text), variables, 'stays')))
    else if (keyword === 'USER') steps.push(userStep(expandVariables(unquoted(text), variables, 'stays')))
    else if (keyword === 'CMD') start.cmd = instruction
    else if (keyword === 'ENTRYPOINT') start.entrypoint = instruction
    else if (UNSUPPORTED.includes(keyword)) warn(instruction, `${keyword} has no effect in a template`)
    else if (!WITHOUT_EFFECT.includes(keyword)) throw mistake(instruction, `unknown instruction ${keyword}`)
  }

  const isSet = (type: Step['type']) => instructions.some(({ keyword }) => keyword === type)
  if (!isSet('USER')) steps.push(userStep('user'))
  if (!isSet('WORKDIR')) steps.push(workdirStep('/home/user'))
  return { fromImage, steps, startCmd: startCommand(start.entrypoint, start.cmd) }
}

function runCommand({ text, heredocs }: DockerInstruction): string {
  const words = execForm(text)
  if (words) return words.map(shellQuote).join(' ')
  const [script] = heredocs
  if (!script) return collapseBlanks(text)
  if (heredocs.length > 1 || !/^<<\S+$/.test(text))
    return [text, ...heredocs.map(({ source }) => source)].join('\n')
  const interpreter = script.content.match(/^#!(.*)\n/)
  if (!interpreter) return script.content.trimEnd()
  return `${interpreter[1]!.trim()} /dev/stdin <<'${script.name}'\n${script.source}`
}

function copySteps(instruction: DockerInstruction, variables: ReadonlyMap<string, string>): Step[] {
  const { keyword, flags, text, heredocs } = instruction
  if (flags.from !== undefined)
    throw mistake(
      instruction,
      `${keyword} --from=${flags.from} copies from another image, which a template cannot`,
    )
  if (heredocs.length > 0)
    throw mistake(
      instruction,
      `${keyword} of a here-document is not supported: write the file with RUN, or copy it`,
    )
  const words = execForm(text) ?? splitWords(text).map(({ expandable }) => expandable)
  const paths = words.map((word) => expandVariables(word, variables, 'stays'))
  const dest = paths.pop()
  if (dest === undefined || paths.length === 0)
    throw mistake(instruction, `${keyword} needs a source and a destination`)
  const user = flags.chown && expandVariables(flags.chown, variables, 'stays')
  const mode = flags.chmod === undefined ? undefined : permissionBits(instruction, flags.chmod)
  return paths.map((src) => {
    if (keyword === 'ADD' && /^(https?:\/\/|git@)/.test(src))
      throw mistake(instruction, `ADD of ${src} is not supported: download it with RUN curl -fsSLO`)
    if (keyword === 'ADD' && /\.(tar|tgz|tar\.\w+)$/.test(src))
      warn(instruction, `ADD does not unpack ${src} in a template: add RUN tar -xf`)
    return copyStep(src, dest, { user, mode })
  })
}

function permissionBits(instruction: DockerInstruction, chmod: string): number {
  if (!/^[0-7]{3,4}$/.test(chmod))
    throw mistake(instruction, `--chmod=${chmod} is not supported: use octal digits like 755`)
  return Number.parseInt(chmod, 8)
}

/** Parses `A=1 B=2`, or the old form `A the rest`, and adds the values to `variables` for later instructions. */
function assignments(instruction: DockerInstruction, variables: Map<string, string>): [string, string][] {
  const words = splitWords(instruction.text)
  const old = instruction.text.match(/^([^\s=]+)\s+([\s\S]+)$/)
  const pairs = old
    ? [[old[1]!, old[2]!] as [string, string]]
    : words.map(({ expandable }) => {
        const at = expandable.indexOf('=')
        if (at < 1) throw mistake(instruction, `${instruction.keyword} needs NAME=value, got ${expandable}`)
        return [expandable.slice(0, at), expandable.slice(at + 1)] as [string, string]
      })
  for (const [name, value] of pairs)
    variables.set(name, expandVariables(value, new Map(variables), 'is unset'))
  return pairs
}

/** Turns a build argument into a variable of the build with the default value; without a default it is empty. */
function argSteps(instruction: DockerInstruction, variables: Map<string, string>): Step[] {
  const isDeclared = /^\w+$/.test(instruction.text)
  if (!isDeclared) return [envStep(assignments(instruction, variables))]
  if (!variables.has(instruction.text)) variables.set(instruction.text, '')
  return [envStep([[instruction.text, variables.get(instruction.text)!]])]
}

/** Returns ENTRYPOINT followed by CMD; the shell form of ENTRYPOINT ignores CMD. Undefined if both are empty. */
function startCommand(entrypoint?: DockerInstruction, cmd?: DockerInstruction): string | undefined {
  const entrypointWords = entrypoint && execForm(entrypoint.text)
  const cmdWords = cmd && execForm(cmd.text)
  if (entrypoint && !entrypointWords) return collapseBlanks(entrypoint.text) || undefined
  if (!entrypointWords && cmd && !cmdWords) return collapseBlanks(cmd.text) || undefined
  // After an ENTRYPOINT, the shell form of CMD becomes a call of the shell.
  const behind = cmdWords ?? (cmd?.text ? ['/bin/sh', '-c', cmd.text] : [])
  return [...(entrypointWords ?? []), ...behind].map(shellQuote).join(' ') || undefined
}

const unquoted = (text: string): string =>
  splitWords(text)
    .map(({ expandable }) => expandable)
    .join(' ')

const mistake = ({ line }: DockerInstruction, message: string): TemplateError =>
  new TemplateError(`Dockerfile line ${line}: ${message}`)

const warn = ({ line }: DockerInstruction, message: string): void =>
  console.warn(`Dockerfile line ${line}: ${message}`)
