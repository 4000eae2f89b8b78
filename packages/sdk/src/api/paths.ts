import type { Schema } from './schema.ts'

type ErrorStatus = 400 | 401 | 403 | 404 | 409 | 429 | 500 | 502 | 503 | 504 | 507
type Headers = { [name: string]: unknown }
type Answer<Body> = { headers: Headers; content: { 'application/json': Body } }

interface Parts {
  path?: unknown
  query?: unknown
  body?: unknown
}

/** One operation in the form that openapi-fetch reads: what goes in, and what comes back by status. */
type Operation<Status extends number, Body, In extends Parts = object> = {
  parameters: {
    query?: In extends { query: infer Query } ? Query : never
    header?: never
    cookie?: never
  } & (In extends { path: infer Path } ? { path: Path } : { path?: never })
  responses: {
    [status in Status]: Body extends undefined ? { headers: Headers; content?: never } : Answer<Body>
  } & {
    [status in ErrorStatus]: Answer<Schema<'Error'>>
  }
} & (In extends { body: infer Sent }
  ? { requestBody: { content: { 'application/json': Sent } } }
  : { requestBody?: never })

interface Page {
  /** Most entries of a page: 1 to 100, 100 by default. */
  limit?: number
  nextToken?: string
}
interface ById {
  path: { sandboxID: string }
}
interface ByTemplate {
  path: { templateID: string }
}

/** Routes of the REST API (wire spec, sections 2.2 to 2.8), and those of Sandlot alone (checkpoints, storage). */
export interface paths {
  '/sandboxes': {
    get: Operation<200, Schema<'ListedSandbox'>[], { query: { metadata?: string } }>
    post: Operation<201, Schema<'Sandbox'>, { body: Schema<'NewSandbox'> }>
  }
  '/v2/sandboxes': {
    get: Operation<
      200,
      Schema<'ListedSandbox'>[],
      {
        query: Page & {
          metadata?: string
          state?: Schema<'SandboxState'>[]
          order?: Schema<'OrderDirection'>
          startedAfter?: string
          template?: string
        }
      }
    >
    post: Operation<201, Schema<'Sandbox'>, { body: Schema<'NewSandboxV2'> }>
  }
  '/sandboxes/metrics': {
    get: Operation<200, Schema<'SandboxesWithMetrics'>, { query: { sandbox_ids: string[] } }>
  }
  '/sandboxes/{sandboxID}': {
    get: Operation<200, Schema<'SandboxDetail'>, ById>
    delete: Operation<204, undefined, ById>
  }
  '/sandboxes/{sandboxID}/connect': {
    post: Operation<200 | 201, Schema<'Sandbox'>, ById & { body: Schema<'ConnectSandbox'> }>
  }
  '/v2/sandboxes/{sandboxID}/connect': {
    post: Operation<200 | 201, Schema<'Sandbox'>, ById & { body: Schema<'ConnectSandboxV2'> }>
  }
  '/sandboxes/{sandboxID}/fork': {
    post: Operation<201, Schema<'SandboxForkResult'>[], ById & { body: Schema<'SandboxForkRequest'> }>
  }
  '/sandboxes/{sandboxID}/logs': {
    get: Operation<200, Schema<'SandboxLogs'>, ById & { query: { start?: number; limit?: number } }>
  }
  '/v2/sandboxes/{sandboxID}/logs': {
    get: Operation<
      200,
      Schema<'SandboxLogsV2Response'>,
      ById & {
        query: {
          cursor?: number
          limit?: number
          direction?: Schema<'LogsDirection'>
          level?: Schema<'LogLevel'>
          search?: string
        }
      }
    >
  }
  '/sandboxes/{sandboxID}/metrics': {
    get: Operation<200, Schema<'SandboxMetric'>[], ById & { query: { start?: number; end?: number } }>
  }
  '/sandboxes/{sandboxID}/network': {
    put: Operation<204, undefined, ById & { body: Schema<'SandboxNetworkUpdateConfig'> }>
  }
  '/sandboxes/{sandboxID}/pause': {
    post: Operation<204, undefined, ById & { body: Schema<'SandboxPauseRequest'> }>
  }
  '/sandboxes/{sandboxID}/refreshes': {
    post: Operation<204, undefined, ById & { body: Schema<'SandboxRefreshRequest'> }>
  }
  '/sandboxes/{sandboxID}/resume': {
    post: Operation<201, Schema<'Sandbox'>, ById & { body: Schema<'ResumedSandbox'> }>
  }
  '/sandboxes/{sandboxID}/snapshots': {
    post: Operation<201, Schema<'SnapshotInfo'>, ById & { body: Schema<'SandboxSnapshotRequest'> }>
  }
  '/sandboxes/{sandboxID}/timeout': {
    post: Operation<204, undefined, ById & { body: Schema<'SandboxTimeoutRequest'> }>
  }
  '/sandboxes/{sandboxID}/checkpoints': {
    post: Operation<201, Schema<'Checkpoint'>, ById>
  }
  '/sandboxes/{sandboxID}/rollback': {
    post: Operation<200, Schema<'Sandbox'>, ById & { body: Schema<'SandboxRollbackRequest'> }>
  }
  '/sandboxes/{sandboxID}/tree': {
    get: Operation<200, Schema<'SandboxTree'>, ById>
  }
  '/sandboxes/{sandboxID}/diff': {
    get: Operation<200, Schema<'SandboxDiff'>, ById & { query: { from?: string; to?: string } }>
  }
  '/sandboxes/{sandboxID}/keep': {
    put: Operation<204, undefined, ById & { body: Schema<'KeepPolicy'> }>
  }
  '/snapshots': {
    get: Operation<200, Schema<'SnapshotInfo'>[], { query: Page & { sandboxID?: string; name?: string } }>
  }

  '/templates': {
    get: Operation<200, Schema<'Template'>[], { query: { teamID?: string } }>
  }
  '/v2/templates': {
    get: Operation<200, Schema<'Template'>[], { query: Page & { teamID?: string } }>
  }
  '/v3/templates': {
    post: Operation<202, Schema<'TemplateRequestResponseV3'>, { body: Schema<'TemplateBuildRequestV3'> }>
  }
  '/templates/{templateID}': {
    get: Operation<200, Schema<'TemplateWithBuilds'>, ByTemplate & { query: Page }>
    delete: Operation<204, undefined, ByTemplate>
    /** @deprecated */
    patch: Operation<200, undefined, ByTemplate & { body: Schema<'TemplateUpdateRequest'> }>
  }
  '/v2/templates/{templateID}': {
    patch: Operation<
      200,
      Schema<'TemplateUpdateResponse'>,
      ByTemplate & { body: Schema<'TemplateUpdateRequest'> }
    >
  }
  '/v2/templates/{templateID}/builds/{buildID}': {
    post: Operation<
      202,
      undefined,
      { path: { templateID: string; buildID: string }; body: Schema<'TemplateBuildStartV2'> }
    >
  }
  '/templates/{templateID}/builds/{buildID}/status': {
    get: Operation<
      200,
      Schema<'TemplateBuildInfo'>,
      {
        path: { templateID: string; buildID: string }
        query: { logsOffset?: number; limit?: number; level?: Schema<'LogLevel'> }
      }
    >
  }
  '/templates/{templateID}/builds/{buildID}/logs': {
    get: Operation<
      200,
      Schema<'TemplateBuildLogsResponse'>,
      {
        path: { templateID: string; buildID: string }
        query: {
          cursor?: number
          limit?: number
          direction?: Schema<'LogsDirection'>
          level?: Schema<'LogLevel'>
          source?: Schema<'LogsSource'>
        }
      }
    >
  }
  '/templates/{templateID}/files/{hash}': {
    get: Operation<201, Schema<'TemplateBuildFileUpload'>, { path: { templateID: string; hash: string } }>
  }
  '/templates/{templateID}/tags': {
    get: Operation<200, Schema<'TemplateTag'>[], ByTemplate>
  }
  '/templates/aliases/{alias}': {
    get: Operation<200, Schema<'TemplateAliasResponse'>, { path: { alias: string } }>
  }
  '/templates/tags': {
    post: Operation<201, Schema<'AssignedTemplateTags'>, { body: Schema<'AssignTemplateTagsRequest'> }>
    delete: Operation<204, undefined, { body: Schema<'DeleteTemplateTagsRequest'> }>
  }

  '/volumes': {
    get: Operation<200, Schema<'Volume'>[]>
    post: Operation<201, Schema<'VolumeAndToken'>, { body: Schema<'NewVolume'> }>
  }
  '/volumes/{volumeID}': {
    get: Operation<200, Schema<'VolumeAndToken'>, { path: { volumeID: string } }>
    delete: Operation<204, undefined, { path: { volumeID: string } }>
  }
  '/secrets': {
    get: Operation<200, Schema<'Secret'>[], { query: Page }>
    post: Operation<201, Schema<'Secret'>, { body: Schema<'NewSecret'> }>
  }
  '/secrets/{secretID}': {
    get: Operation<200, Schema<'Secret'>, { path: { secretID: string } }>
    post: Operation<200, Schema<'Secret'>, { path: { secretID: string }; body: Schema<'SecretUpdate'> }>
    delete: Operation<204, undefined, { path: { secretID: string } }>
  }

  '/usage/storage': { get: Operation<200, Schema<'StorageUsage'>> }

  '/teams': { get: Operation<200, Schema<'Team'>[]> }
  '/teams/{teamID}/metrics': {
    get: Operation<
      200,
      Schema<'TeamMetric'>[],
      { path: { teamID: string }; query: { start?: number; end?: number } }
    >
  }
  '/teams/{teamID}/metrics/max': {
    get: Operation<
      200,
      Schema<'MaxTeamMetric'>,
      {
        path: { teamID: string }
        query: { start?: number; end?: number; metric: 'concurrent_sandboxes' | 'sandbox_start_rate' }
      }
    >
  }
}
