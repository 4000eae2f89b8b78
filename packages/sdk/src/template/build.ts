import type { ApiClient } from '../api/client.ts'
import { apiErrorOf } from '../api/error.ts'
import type { ConnectionConfig } from '../connection-config.ts'
import { BuildError, TemplateError } from '../errors.ts'
import { LogEntry } from './log-entry.ts'
import { serialize } from './serialize.ts'
import type { TemplateContent } from './template-draft.ts'
import type { BasicBuildOptions, BuildInfo, BuildOptions } from './types.ts'
import { uploadFiles, withFilesHashes } from './upload.ts'

/** A template to build, with name and options. */
export interface BuildRequest {
  name: string
  options: Omit<BasicBuildOptions, 'alias'> & { signal?: AbortSignal }
}

/**
 * Extracts name and options of a build from the arguments of `Template.build()`: the name is the first argument, or
 * (deprecated) in the options.
 */
export function buildArguments(
  nameOrOptions: string | BuildOptions,
  options: Omit<BuildOptions, 'alias'> = {},
): { name: string; options: Omit<BuildOptions, 'alias'> } {
  const isName = typeof nameOrOptions === 'string'
  const name = isName ? nameOrOptions : nameOrOptions?.alias
  if (!name) throw new TemplateError('Name must be provided')
  return { name, options: isName ? options : nameOrOptions }
}

/**
 * Registers a build, sends the files that the server lacks, and starts the build. Files are read first, so that a
 * missing file is reported before the build is registered.
 */
export async function startBuild(
  api: ApiClient['api'],
  config: ConnectionConfig,
  { definition, traces, context }: TemplateContent,
  { name, options }: BuildRequest,
): Promise<BuildInfo> {
  const { tags, cpuCount, memoryMB, minFreeDiskMb, skipCache, onBuildLogs, signal } = options
  const log = (message: string) => onBuildLogs?.(new LogEntry(new Date(), 'info', message))

  const steps = await withFilesHashes(definition.steps, context, traces.steps)
  log(`Requesting build of ${name}${tags?.length ? ` with tags ${tags.join(', ')}` : ''}`)
  const requested = await api.POST('/v3/templates', {
    body: { name, tags, cpuCount, memoryMB, minFreeDiskMb },
    signal: config.getSignal(undefined, signal),
  })
  throwOnError(requested)
  const { templateID: templateId, buildID: buildId, tags: assignedTags } = requested.data!
  log(`Created template ${templateId}, build ${buildId}`)

  await uploadFiles(steps, {
    api,
    config,
    templateId,
    context,
    traces: traces.steps,
    signal,
    onUploaded: (src) => log(`Uploaded ${src}`),
    onCached: (src) => log(`Already uploaded: ${src}`),
  })

  const started = await api.POST('/v2/templates/{templateID}/builds/{buildID}', {
    params: { path: { templateID: templateId, buildID: buildId } },
    body: serialize({ ...definition, steps, force: definition.force || (skipCache ?? false) }),
    signal: config.getSignal(undefined, signal),
  })
  throwOnError(started)
  log('Building')
  return { alias: name, name, tags: assignedTags, templateId, buildId }
}

function throwOnError(answer: { response: Response; error?: unknown }): void {
  const error = apiErrorOf(answer, BuildError)
  if (error) throw error
}
