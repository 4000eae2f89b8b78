import { BuildFailure } from '@sandlot/protocol'
import type { BuildOrigin, RegistryLogin } from '@sandlot/protocol/node'
import type { Team } from '../teams/team.ts'
import { isRecord, runtimeEnvVarsOf, type TemplateRegistry } from '../templates/registry.ts'
import type { BuildStart } from './request.ts'

/** What a build starts from, and which variables the commands of sandboxes get (docs/adr/0030). */
export interface Origin {
  from: BuildOrigin
  isShown: (name: string) => boolean
}

/** @throws BuildFailure: the template to start from does not exist or is not ready */
export function originOf(
  templates: TemplateRegistry,
  team: Team,
  { fromImage, fromTemplate, templateEnvAtRuntime = false }: BuildStart,
  login: RegistryLogin | undefined,
): Origin {
  if (!fromTemplate) return { from: { image: fromImage!, login }, isShown: () => templateEnvAtRuntime }
  try {
    const { build } = templates.resolve(fromTemplate, team)
    const { buildId, defaultUser, defaultWorkdir } = build
    const shown = runtimeEnvVarsOf(build)
    return {
      from: {
        buildId,
        name: fromTemplate,
        checkpointId: isRecord(build) ? build.checkpointId : undefined,
        environment: { defaultUser, defaultWorkdir, envVars: isRecord(build) ? build.envVars : {} },
      },
      isShown: (name) => templateEnvAtRuntime || Object.hasOwn(shown, name),
    }
  } catch (error) {
    throw new BuildFailure('base', (error as Error).message, { cause: error })
  }
}
