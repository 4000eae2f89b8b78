import { openApi } from '../api/client.ts'
import { apiErrorOf } from '../api/error.ts'
import { ConnectionConfig, type ConnectionOpts } from '../connection-config.ts'
import { TemplateError } from '../errors.ts'
import { buildArguments, startBuild } from './build.ts'
import { fetchBuildStatus, waitForBuild } from './build-status.ts'
import type { TemplateClass } from './builder.ts'
import { callableTemplate } from './callable.ts'
import { writeDockerfile } from './dockerfile/write.ts'
import { LogEntryEnd, LogEntryStart } from './log-entry.ts'
import { serialize } from './serialize.ts'
import { contentOf, TemplateDraft } from './template-draft.ts'
import type {
  BuildInfo,
  BuildOptions,
  GetBuildStatusOptions,
  TemplateBuildStatusResponse,
  TemplateTag,
  TemplateTagInfo,
} from './types.ts'
import { withFilesHashes } from './upload.ts'

/** The class behind {@link Template}: its instances are builders, its static methods talk to the API. */
export class TemplateBase extends TemplateDraft {
  /**
   * Returns a template as the JSON that is sent to the API.
   *
   * @param computeHashes whether to read the files of each COPY for its hash; true by default
   * @throws {@link TemplateError} if a file to copy does not exist
   */
  static async toJSON(template: TemplateClass, computeHashes: boolean = true): Promise<string> {
    const { definition, traces, context } = contentOf(template)
    const steps = computeHashes
      ? await withFilesHashes(definition.steps, context, traces.steps)
      : definition.steps
    return JSON.stringify(serialize({ ...definition, steps }), undefined, 2)
  }

  /**
   * Returns a template as a Dockerfile.
   *
   * @throws {@link TemplateError} if the template starts from another template, which a Dockerfile cannot express
   */
  static toDockerfile(template: TemplateClass): string {
    const { base, steps, startCmd } = contentOf(template).definition
    if ('fromTemplate' in base)
      throw new TemplateError(
        'Cannot convert template built from another template to Dockerfile. Templates based on other templates can only be built using the E2B API.',
      )
    return writeDockerfile(base.fromImage, steps, startCmd)
  }

  /**
   * Builds a template and waits for the end of the build. A `signal` stops the waiting, not the build.
   *
   * @param name `name` or `name:tag`: lower-case letters, digits, `-` and `_`, at most 128
   * @throws {@link BuildError} if a step fails; its stack shows the line of the template that the step comes from
   * @throws {@link FileUploadError} if files cannot be sent
   * @example
   * ```ts
   * const template = Template().fromPythonImage().pipInstall('numpy')
   * const { templateId } = await Template.build(template, 'numpy:v1', { onBuildLogs: defaultBuildLogger() })
   * ```
   */
  static build(
    template: TemplateClass,
    name: string,
    options?: Omit<BuildOptions, 'alias'>,
  ): Promise<BuildInfo>
  /** @deprecated Pass the name as second argument. */
  static build(template: TemplateClass, options: BuildOptions): Promise<BuildInfo>
  static async build(
    template: TemplateClass,
    nameOrOptions: string | BuildOptions,
    maybeOptions?: Omit<BuildOptions, 'alias'>,
  ): Promise<BuildInfo> {
    const { name, options } = buildArguments(nameOrOptions, maybeOptions)
    const content = contentOf(template)
    const { onBuildLogs, signal } = options
    const config = new ConnectionConfig(this.resolveOpts(options))
    onBuildLogs?.(new LogEntryStart(new Date(), 'Build started'))
    try {
      const api = await openApi(config)
      const build = await startBuild(api, config, content, { name, options })
      await waitForBuild({ api, config, ...build, signal }, content.traces, (entry) => onBuildLogs?.(entry))
      return build
    } finally {
      onBuildLogs?.(new LogEntryEnd(new Date(), 'Build finished'))
    }
  }

  /**
   * Starts a build without waiting for its end; {@link TemplateBase.getBuildStatus} returns the progress.
   *
   * @example
   * ```ts
   * const build = await Template.buildInBackground(template, 'numpy:v1')
   * const { status } = await Template.getBuildStatus(build)
   * ```
   */
  static buildInBackground(
    template: TemplateClass,
    name: string,
    options?: Omit<BuildOptions, 'alias'>,
  ): Promise<BuildInfo>
  /** @deprecated Pass the name as second argument. */
  static buildInBackground(template: TemplateClass, options: BuildOptions): Promise<BuildInfo>
  static async buildInBackground(
    template: TemplateClass,
    nameOrOptions: string | BuildOptions,
    maybeOptions?: Omit<BuildOptions, 'alias'>,
  ): Promise<BuildInfo> {
    const request = buildArguments(nameOrOptions, maybeOptions)
    const config = new ConnectionConfig(this.resolveOpts(request.options))
    return startBuild(await openApi(config), config, contentOf(template), request)
  }

  /**
   * Gets the status of a build, with at most 100 entries of its log from `logsOffset` on.
   *
   * @throws {@link BuildError} if there is no such build
   */
  static async getBuildStatus(
    data: Pick<BuildInfo, 'templateId' | 'buildId'>,
    options?: GetBuildStatusOptions,
  ): Promise<TemplateBuildStatusResponse> {
    const config = new ConnectionConfig(this.resolveOpts(options))
    const api = await openApi(config)
    return fetchBuildStatus({ api, config, ...data, signal: options?.signal }, options?.logsOffset)
  }

  /**
   * Whether a template of this name exists, of this team or another. Accepts `name` and `namespace/name`, each
   * optionally with `:tag`.
   */
  static async exists(name: string, options?: ConnectionOpts): Promise<boolean> {
    const config = new ConnectionConfig(this.resolveOpts(options))
    const api = await openApi(config)
    const answer = await api.GET('/templates/aliases/{alias}', {
      params: { path: { alias: name } },
      signal: config.getSignal(undefined, options?.signal),
    })
    if (answer.response.status === 404) return false
    // the template exists, but belongs to another team
    if (answer.response.status === 403) return true
    throwOnError(answer)
    return true
  }

  /** @deprecated Use {@link TemplateBase.exists}. */
  static aliasExists(alias: string, options?: ConnectionOpts): Promise<boolean> {
    return this.exists(alias, options)
  }

  /**
   * Points tags to a build.
   *
   * @param targetName the build, as `name:tag` or `name` (tag `default`)
   * @throws {@link TemplateError} for a tag with other characters than `a-z0-9-_.` or an unknown build
   * @example
   * ```ts
   * await Template.assignTags('numpy:v1', ['stable', 'production'])
   * ```
   */
  static async assignTags(
    targetName: string,
    tags: string | string[],
    options?: ConnectionOpts,
  ): Promise<TemplateTagInfo> {
    const config = new ConnectionConfig(this.resolveOpts(options))
    const api = await openApi(config)
    const answer = await api.POST('/templates/tags', {
      body: { target: targetName, tags: [tags].flat() },
      signal: config.getSignal(undefined, options?.signal),
    })
    throwOnError(answer)
    const { buildID: buildId, tags: assigned } = answer.data!
    return { buildId, tags: assigned }
  }

  /**
   * Removes tags from a template; the builds stay.
   *
   * @param name without a tag
   * @throws {@link TemplateError} for the tag `default` or an unknown template
   */
  static async removeTags(name: string, tags: string | string[], options?: ConnectionOpts): Promise<void> {
    const config = new ConnectionConfig(this.resolveOpts(options))
    const api = await openApi(config)
    const answer = await api.DELETE('/templates/tags', {
      body: { name, tags: [tags].flat() },
      signal: config.getSignal(undefined, options?.signal),
    })
    throwOnError(answer)
  }

  /** Lists the tags of a template, given by id or name. */
  static async getTags(templateId: string, options?: ConnectionOpts): Promise<TemplateTag[]> {
    const config = new ConnectionConfig(this.resolveOpts(options))
    const api = await openApi(config)
    const answer = await api.GET('/templates/{templateID}/tags', {
      params: { path: { templateID: templateId } },
      signal: config.getSignal(undefined, options?.signal),
    })
    throwOnError(answer)
    return answer.data!.map(({ tag, buildID, createdAt }) => ({
      tag,
      buildId: buildID,
      createdAt: new Date(createdAt),
    }))
  }
}

/**
 * Describes and builds the templates that sandboxes start from. `Template()` begins a description; the static methods
 * build templates and manage existing ones.
 *
 * @example
 * ```ts
 * const template = Template()
 *   .fromPythonImage()
 *   .copy('requirements.txt', '/app/')
 *   .setWorkdir('/app')
 *   .runCmd('pip install -r requirements.txt')
 *   .setStartCmd('python -m http.server 8000', waitForPort(8000))
 * await Template.build(template, 'my-app:v1')
 * ```
 */
export const Template = callableTemplate(TemplateBase)

function throwOnError(answer: { response: Response; error?: unknown }): void {
  const error = apiErrorOf(answer, TemplateError)
  if (error) throw error
}
