import type { PathLike } from 'node:fs'
import { ClientFactory } from '../connection-config.ts'
import { BuildError, InvalidArgumentError, TemplateError } from '../errors.ts'
import { packageWords, shellQuote } from '../shell-quote.ts'
import type { TemplateBuilder, TemplateClass, TemplateFinal, TemplateFromImage } from './builder.ts'
import { callerTrace, directoryOf, type Entrance, stackFrom } from './caller-trace.ts'
import { readDockerfile } from './dockerfile/read.ts'
import { readTextIfFile, readTextOfFile } from './local-file.ts'
import { pathText } from './path-text.ts'
import { type ReadyCmd, waitForFile } from './ready-command.ts'
import type { Base, Definition } from './serialize.ts'
import { copyStep, envStep, octal, runStep, type Step, userStep, workdirStep } from './step.ts'
import type { CopyItem, CopyOptions, McpServerName, TemplateOptions } from './types.ts'

const BASE_IMAGE = 'e2bdev/base'

/** Everything that a builder has collected. */
export interface TemplateContent {
  definition: Definition
  traces: Traces
  context: FileContext
}

/** Directory of a template's files. */
export interface FileContext {
  fileContextPath: string
  /** Patterns in the syntax of `.dockerignore`. */
  fileIgnorePatterns: string[]
}

/** Lines of the caller's code that added the parts of a template; undefined in engines without usable stacks. */
export interface Traces {
  base?: string
  steps: (string | undefined)[]
  /** Start and ready command. */
  finalize?: string
}

/**
 * Collects the parts of a template; nothing is read or sent before the template is built.
 * Each method is documented at {@link TemplateFromImage} and {@link TemplateBuilder}.
 */
export class TemplateDraft
  extends ClientFactory
  implements TemplateFromImage, TemplateBuilder, TemplateFinal
{
  private readonly content: TemplateContent
  private forceNextSteps = false

  constructor(options: TemplateOptions = {}) {
    super()
    const { fileContextPath, fileIgnorePatterns = [], templateEnvAtRuntime } = options
    // V8 omits implicit constructors of subclasses from the stack.
    const created = () => callerTrace(new.target) ?? callerTrace(TemplateDraft)
    const directory =
      fileContextPath === undefined ? (directoryOf(created()) ?? '.') : pathText(fileContextPath)
    this.content = {
      definition: { base: { fromImage: BASE_IMAGE }, steps: [], force: false, templateEnvAtRuntime },
      traces: { steps: [] },
      context: { fileContextPath: directory, fileIgnorePatterns },
    }
  }

  fromDebianImage(variant: string = 'stable'): TemplateBuilder {
    return this.startFrom({ fromImage: `debian:${variant}` }, this.fromDebianImage)
  }

  fromUbuntuImage(variant: string = 'latest'): TemplateBuilder {
    return this.startFrom({ fromImage: `ubuntu:${variant}` }, this.fromUbuntuImage)
  }

  fromFedoraImage(variant: string = '44'): TemplateBuilder {
    return this.startFrom({ fromImage: `fedora:${variant}` }, this.fromFedoraImage)
  }

  fromAlpineImage(variant: string = '3.24'): TemplateBuilder {
    return this.startFrom({ fromImage: `alpine:${variant}` }, this.fromAlpineImage)
  }

  fromArchImage(variant: string = 'latest'): TemplateBuilder {
    return this.startFrom({ fromImage: `archlinux:${variant}` }, this.fromArchImage)
  }

  fromPythonImage(version: string = '3'): TemplateBuilder {
    return this.startFrom({ fromImage: `python:${version}` }, this.fromPythonImage)
  }

  fromNodeImage(variant: string = 'lts'): TemplateBuilder {
    return this.startFrom({ fromImage: `node:${variant}` }, this.fromNodeImage)
  }

  fromBunImage(variant: string = 'latest'): TemplateBuilder {
    return this.startFrom({ fromImage: `oven/bun:${variant}` }, this.fromBunImage)
  }

  fromBaseImage(): TemplateBuilder {
    return this.startFrom({ fromImage: BASE_IMAGE }, this.fromBaseImage)
  }

  fromImage(baseImage: string, credentials?: { username: string; password: string }): TemplateBuilder {
    if (!credentials) return this.startFrom({ fromImage: baseImage }, this.fromImage)
    const { username, password } = credentials
    if (!username || !password)
      throw blame(
        new InvalidArgumentError(
          'Both username and password are required when providing registry credentials',
        ),
        this.fromImage,
      )
    const registry = { type: 'registry', username, password } as const
    return this.startFrom({ fromImage: baseImage, registry }, this.fromImage)
  }

  fromTemplate(template: string): TemplateBuilder {
    return this.startFrom({ fromTemplate: template }, this.fromTemplate)
  }

  fromDockerfile(dockerfileContentOrPath: string): TemplateBuilder {
    const content = readTextIfFile(dockerfileContentOrPath) ?? dockerfileContentOrPath
    const { fromImage, steps, startCmd } = blaming(this.fromDockerfile, () => readDockerfile(content))
    this.startFrom({ fromImage }, this.fromDockerfile)
    for (const step of steps) this.add(step, this.fromDockerfile)
    if (startCmd !== undefined) this.finish({ startCmd, readyCmd: 'sleep 20' }, this.fromDockerfile)
    return this
  }

  fromAWSRegistry(
    image: string,
    {
      accessKeyId,
      secretAccessKey,
      region,
    }: { accessKeyId: string; secretAccessKey: string; region: string },
  ): TemplateBuilder {
    const registry = {
      type: 'aws',
      awsAccessKeyId: accessKeyId,
      awsSecretAccessKey: secretAccessKey,
      awsRegion: region,
    } as const
    return this.startFrom({ fromImage: image, registry }, this.fromAWSRegistry)
  }

  fromGCPRegistry(
    image: string,
    { serviceAccountJSON }: { serviceAccountJSON: string | object },
  ): TemplateBuilder {
    const serviceAccountJson =
      typeof serviceAccountJSON === 'string'
        ? readTextOfFile(this.content.context.fileContextPath, serviceAccountJSON)
        : JSON.stringify(serviceAccountJSON)
    return this.startFrom(
      { fromImage: image, registry: { type: 'gcp', serviceAccountJson } },
      this.fromGCPRegistry,
    )
  }

  copy(src: PathLike | PathLike[], dest: PathLike, options?: CopyOptions): TemplateBuilder {
    return this.addCopies([{ src, dest, ...options }], this.copy)
  }

  copyItems(items: CopyItem[]): TemplateBuilder {
    return this.addCopies(items, this.copyItems)
  }

  remove(
    path: PathLike | PathLike[],
    options: { force?: boolean; recursive?: boolean; user?: string } = {},
  ): TemplateBuilder {
    const words = ['rm', options.recursive && '-r', options.force && '-f', ...pathWords(path)]
    return this.add(runStep(line(words), options.user), this.remove)
  }

  rename(src: PathLike, dest: PathLike, options: { force?: boolean; user?: string } = {}): TemplateBuilder {
    const words = ['mv', ...pathWords([src, dest]), options.force && '-f']
    return this.add(runStep(line(words), options.user), this.rename)
  }

  makeDir(path: PathLike | PathLike[], options: { mode?: number; user?: string } = {}): TemplateBuilder {
    const mode = options.mode ? `-m ${octal(options.mode)}` : ''
    return this.add(runStep(line(['mkdir', '-p', mode, ...pathWords(path)]), options.user), this.makeDir)
  }

  makeSymlink(
    src: PathLike,
    dest: PathLike,
    options: { user?: string; force?: boolean } = {},
  ): TemplateBuilder {
    const words = ['ln', '-s', options.force && '-f', ...pathWords([src, dest])]
    return this.add(runStep(line(words), options.user), this.makeSymlink)
  }

  runCmd(commandOrCommands: string | string[], options: { user?: string } = {}): TemplateBuilder {
    return this.add(runStep([commandOrCommands].flat().join(' && '), options.user), this.runCmd)
  }

  setWorkdir(workdir: PathLike): TemplateBuilder {
    return this.add(workdirStep(workdir), this.setWorkdir)
  }

  setUser(user: string): TemplateBuilder {
    return this.add(userStep(user), this.setUser)
  }

  pipInstall(packages?: string | string[], options: { g?: boolean } = {}): TemplateBuilder {
    const isGlobal = options.g ?? true
    const words = ['pip', 'install', !isGlobal && '--user', ...packageWords(packages || '.')]
    return this.add(runStep(line(words), isGlobal ? 'root' : undefined), this.pipInstall)
  }

  npmInstall(packages?: string | string[], options: { g?: boolean; dev?: boolean } = {}): TemplateBuilder {
    const words = [
      'npm',
      'install',
      options.g && '-g',
      options.dev && '--save-dev',
      ...packageWords(packages ?? []),
    ]
    return this.add(runStep(line(words), options.g ? 'root' : undefined), this.npmInstall)
  }

  bunInstall(packages?: string | string[], options: { g?: boolean; dev?: boolean } = {}): TemplateBuilder {
    const words = [
      'bun',
      'install',
      options.g && '-g',
      options.dev && '--dev',
      ...packageWords(packages ?? []),
    ]
    return this.add(runStep(line(words), options.g ? 'root' : undefined), this.bunInstall)
  }

  aptInstall(
    packages: string | string[],
    options: { noInstallRecommends?: boolean; fixMissing?: boolean } = {},
  ): TemplateBuilder {
    const install = line([
      'DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y',
      options.noInstallRecommends && '--no-install-recommends',
      options.fixMissing && '--fix-missing',
      ...packageWords(packages),
    ])
    return this.add(runStep(`apt-get update && ${install}`, 'root'), this.aptInstall)
  }

  addMcpServer(servers: McpServerName | McpServerName[]): TemplateBuilder {
    this.requireTemplate(
      'mcp-gateway',
      'MCP servers can only be added to mcp-gateway template',
      this.addMcpServer,
    )
    return this.add(runStep(line(['mcp-gateway', 'pull', ...[servers].flat()]), 'root'), this.addMcpServer)
  }

  gitClone(
    url: string,
    path?: PathLike,
    options: { branch?: string; depth?: number; user?: string } = {},
  ): TemplateBuilder {
    const { branch, depth, user } = options
    const words = [
      'git',
      'clone',
      shellQuote(url),
      branch && `--branch ${shellQuote(branch)} --single-branch`,
      depth ? `--depth ${depth}` : '',
      ...(path === undefined ? [] : pathWords(path)),
    ]
    return this.add(runStep(line(words), user), this.gitClone)
  }

  setEnvs(envs: Record<string, string>): TemplateBuilder {
    if (Object.keys(envs).length === 0) return this
    return this.add(envStep(Object.entries(envs)), this.setEnvs)
  }

  skipCache(): this {
    this.forceNextSteps = true
    return this
  }

  setStartCmd(startCommand: string, readyCommand: string | ReadyCmd): TemplateFinal {
    return this.finish({ startCmd: startCommand, readyCmd: commandText(readyCommand) }, this.setStartCmd)
  }

  setReadyCmd(readyCommand: string | ReadyCmd): TemplateFinal {
    return this.finish({ readyCmd: commandText(readyCommand) }, this.setReadyCmd)
  }

  betaDevContainerPrebuild(devcontainerDirectory: string): TemplateBuilder {
    this.requireTemplate('devcontainer', DEVCONTAINERS_ONLY, this.betaDevContainerPrebuild)
    const words = ['devcontainer build --workspace-folder', shellQuote(devcontainerDirectory)]
    return this.add(runStep(line(words), 'root'), this.betaDevContainerPrebuild)
  }

  betaSetDevContainerStart(devcontainerDirectory: string): TemplateFinal {
    this.requireTemplate('devcontainer', DEVCONTAINERS_ONLY, this.betaSetDevContainerStart)
    const directory = shellQuote(devcontainerDirectory)
    const startCmd = [
      `sudo devcontainer up --workspace-folder ${directory}`,
      `sudo /prepare-exec.sh ${directory} | sudo tee /devcontainer.sh > /dev/null`,
      'sudo chmod +x /devcontainer.sh',
      'sudo touch /devcontainer.up',
    ].join(' && ')
    const readyCmd = waitForFile('/devcontainer.up').getCmd()
    return this.finish({ startCmd, readyCmd }, this.betaSetDevContainerStart)
  }

  private startFrom(base: Base, entrance: Entrance): this {
    this.content.definition.base = base
    if (this.forceNextSteps) this.content.definition.force = true
    this.content.traces.base = callerTrace(entrance)
    return this
  }

  private add(step: Step, entrance: Entrance): this {
    const { type, args, force = false, ...rest } = step
    this.content.definition.steps.push({ type, args, force: force || this.forceNextSteps, ...rest })
    this.content.traces.steps.push(callerTrace(entrance))
    return this
  }

  private addCopies(items: CopyItem[], entrance: Entrance): this {
    const steps = blaming(entrance, () =>
      items.flatMap(({ src, dest, ...options }) =>
        [src].flat().map((source) => copyStep(source, dest, options)),
      ),
    )
    for (const step of steps) this.add(step, entrance)
    return this
  }

  private finish(commands: { startCmd?: string; readyCmd?: string }, entrance: Entrance): this {
    Object.assign(this.content.definition, commands)
    this.content.traces.finalize = callerTrace(entrance)
    return this
  }

  private requireTemplate(name: string, message: string, entrance: Entrance): void {
    const { base } = this.content.definition
    if (!('fromTemplate' in base) || base.fromTemplate !== name)
      throw blame(new BuildError(message), entrance)
  }
}

/** @throws {@link TemplateError} for a value that `Template()` did not return */
export function contentOf(template: TemplateClass): TemplateContent {
  // biome-ignore lint/complexity/useLiteralKeys: private, so that users of a builder do not see it
  if (template instanceof TemplateDraft) return template['content']
  throw new TemplateError('Not a template: pass what Template() returns.')
}

const DEVCONTAINERS_ONLY = 'Devcontainers can only used in the devcontainer template'

const commandText = (command: string | ReadyCmd | undefined): string | undefined =>
  typeof command === 'string' ? command : command?.getCmd()

const line = (words: (string | false | undefined)[]): string => words.filter(Boolean).join(' ')

const pathWords = (paths: PathLike | PathLike[]): string[] =>
  [paths].flat().map((path) => shellQuote(pathText(path)))

/** Replaces the SDK's frames in an error's stack by the caller's line. */
function blame<Blamed extends Error>(error: Blamed, entrance: Entrance): Blamed {
  const trace = callerTrace(entrance)
  if (trace) error.stack = stackFrom(error, trace)
  return error
}

function blaming<Result>(entrance: Entrance, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    throw error instanceof TemplateError ? blame(error, entrance) : error
  }
}
