import { SandlotError } from '@sandlot/protocol'
import type { BuildRecipe, BuildStep, RegistryLogin } from '@sandlot/protocol/node'
import type { TemplateBuildStartV2 } from '@sandlot/protocol/rest'
import { CATALOG_TEAM_ID } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'
import type { BuildRecord } from '../templates/repository.ts'

const FILES_HASH = /^[0-9a-f]{64}$/
const VARIABLE = /^[A-Za-z_]\w*$/
const MODE = /^[0-7]{3,4}$/
const OWNER = /^[A-Za-z0-9_.-]{1,64}(:[A-Za-z0-9_.-]{1,64})?$/

/** What a client asks for when it starts a build. */
export type BuildStart = TemplateBuildStartV2

type SentStep = NonNullable<BuildStart['steps']>[number]

/** @param number from 1 @throws SandlotError invalid_request naming the step */
export function parseStep(
  { type, args = [], force = false, filesHash = '' }: SentStep,
  number: number,
): BuildStep {
  const wrong = (what: string) => new SandlotError('invalid_request', `step ${number} (${type}): ${what}`)
  const [first = '', second = ''] = args
  switch (type) {
    case 'RUN':
      if (first === '') throw wrong('args[0], the command, is missing')
      return { type, force, command: first, user: second || undefined }
    case 'ENV': {
      if (args.length === 0 || args.length % 2 !== 0)
        throw wrong(`args are pairs of name and value, but there are ${args.length}`)
      const values: Array<[string, string]> = []
      for (let i = 0; i < args.length; i += 2) {
        if (!VARIABLE.test(args[i]!))
          throw wrong(
            `'${args[i]!.slice(0, 100)}' is not a name of a variable: use letters, digits and _${args[i]!.includes('=') ? ' (clients split the ENV of a Dockerfile at blanks, in quotes too: set such a value with setEnvs)' : ''}`,
          )
        values.push([args[i]!, args[i + 1]!])
      }
      return { type, force, values }
    }
    case 'WORKDIR':
      if (first === '') throw wrong('args[0], the path, is missing')
      return { type, force, path: first }
    case 'USER':
      if (!OWNER.test(first) || first.includes(':'))
        throw wrong(`'${first.slice(0, 100)}' is not a user name: use letters, digits, -, _ and .`)
      return { type, force, user: first, hasSudo: second === 'true' }
    case 'COPY': {
      const [source = '', target = '', owner = '', mode = ''] = args
      if (source === '' || target === '') throw wrong('args are source, destination, owner and mode')
      if (source.startsWith('/') || source.split('/').includes('..'))
        throw wrong(`'${source.slice(0, 200)}' is not a path inside the context folder`)
      if (owner !== '' && !OWNER.test(owner))
        throw wrong(`'${owner.slice(0, 100)}' is not user or user:group`)
      if (mode !== '' && !MODE.test(mode))
        throw wrong(`'${mode.slice(0, 20)}' is not an octal mode like 0755`)
      if (!FILES_HASH.test(filesHash)) throw wrong('filesHash is not 64 lower-case hex characters')
      return { type, force, source, target, owner, mode, filesHash }
    }
    default:
      throw wrong('this type is not known: use COPY, RUN, ENV, WORKDIR or USER')
  }
}

/**
 * The recipe of a build, without its origin.
 * @throws SandlotError invalid_request naming the step
 */
export const recipeOf = (
  { teamId }: Team,
  body: BuildStart,
  { cpuCount, memoryMB, diskSizeMB }: BuildRecord,
): Omit<BuildRecipe, 'from'> => ({
  scope: teamId,
  steps: (body.steps ?? []).map((step, index) => parseStep(step, index + 1)),
  startCommand: body.startCmd || undefined,
  readyCommand: body.readyCmd || undefined,
  isForced: body.force ?? false,
  isShared: teamId === CATALOG_TEAM_ID,
  cpuCount,
  memoryMB,
  diskSizeMB,
})

/** @throws SandlotError invalid_request unless a build starts from an image or from a template */
export function checkOrigin({ fromImage, fromTemplate }: BuildStart): void {
  if (Boolean(fromImage) === Boolean(fromTemplate))
    throw new SandlotError(
      'invalid_request',
      `fromImage and fromTemplate are ${fromImage ? 'both given' : 'both missing'}: give one of them`,
    )
}

export function loginOf(registry: BuildStart['fromImageRegistry']): RegistryLogin | undefined {
  switch (registry?.type) {
    case undefined:
      return undefined
    case 'registry':
      return { username: registry.username, password: registry.password }
    case 'gcp':
      // Google's registries accept the key of a service account as the password of this user
      return { username: '_json_key', password: registry.serviceAccountJson }
    case 'aws': {
      const { awsAccessKeyId, awsSecretAccessKey, awsRegion } = registry
      return { awsAccessKeyId, awsSecretAccessKey, awsRegion }
    }
  }
}

/** Checks the CPUs and memory of a new build. @throws SandlotError invalid_request */
export function checkResources({ cpuCount, memoryMB }: { cpuCount: number; memoryMB: number }): void {
  if (cpuCount !== 1 && cpuCount % 2 !== 0)
    throw new SandlotError('invalid_request', 'CPU count must be 1 or an even number')
  if (memoryMB % 2 !== 0) throw new SandlotError('invalid_request', 'Memory must be divisible by 2')
}
