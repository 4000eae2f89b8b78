/**
 * Bodies of the REST API (wire spec, section 2.1; those of checkpoints and storage are Sandlot's own). Times are RFC 3339
 * strings, timeouts whole seconds, `…MB` MiB.
 */
export interface components {
  schemas: {
    Error: { code: number; message: string; error_code?: string }
    CPUCount: number
    MemoryMB: number
    DiskSizeMB: number
    MinFreeDiskMb: number
    EnvdVersion: string
    EnvVars: { [key: string]: string }
    OrderDirection: 'asc' | 'desc'
    LogLevel: 'debug' | 'info' | 'warn' | 'error'
    LogsDirection: 'forward' | 'backward'
    LogsSource: 'temporary' | 'persistent'

    Sandbox: {
      templateID: string
      sandboxID: string
      /** @deprecated */
      clientID: string
      envdVersion: Schema<'EnvdVersion'>
      alias?: string
      envdAccessToken?: string
      trafficAccessToken?: string | null
      /** Domain of the sandbox's host names; absent: the domain of the client. */
      domain?: string | null
    }
    ListedSandbox: SandboxRow
    SandboxDetail: SandboxRow & {
      envdAccessToken?: string
      allowInternetAccess?: boolean | null
      domain?: string | null
      network?: Schema<'SandboxNetworkConfig'>
      lifecycle?: Schema<'SandboxLifecycle'>
    }
    SandboxState: 'running' | 'paused'
    SandboxMetadata: { [key: string]: string }
    SandboxVolumeMount: { name: string; path: string }
    SandboxLifecycle: { autoResume: boolean; onTimeout: Schema<'SandboxOnTimeout'> }
    SandboxOnTimeout: 'kill' | 'pause'
    SandboxAutoResumeConfig: { enabled: Schema<'SandboxAutoResumeEnabled'> }
    SandboxAutoResumeEnabled: boolean
    NewSandbox: Schema<'NewSandboxV2'> & { secure?: boolean }
    NewSandboxV2: {
      /** Id, name, `namespace/name` or `name:tag`. */
      templateID: string
      timeout?: number
      autoPause?: boolean
      autoPauseMemory?: boolean
      autoResume?: Schema<'SandboxAutoResumeConfig'>
      allow_internet_access?: boolean
      network?: Schema<'SandboxNetworkConfig'>
      metadata?: Schema<'SandboxMetadata'>
      envVars?: Schema<'EnvVars'>
      mcp?: Schema<'Mcp'>
      iam?: Schema<'SandboxIam'>
      volumeMounts?: Schema<'SandboxVolumeMount'>[]
    }
    Mcp: { [key: string]: unknown } | null
    ConnectSandbox: { timeout: number; memory?: boolean }
    ConnectSandboxV2: { timeout?: number; memory?: boolean }
    ResumedSandbox: { timeout?: number; autoPause?: boolean; memory?: boolean }
    SandboxPauseRequest: { memory?: boolean }
    SandboxTimeoutRequest: { timeout: number }
    SandboxRefreshRequest: { duration?: number }
    SandboxForkRequest: { timeout?: number; count?: number }
    SandboxForkResult: { sandbox?: Schema<'Sandbox'>; error?: Schema<'Error'> }
    SandboxSnapshotRequest: { name?: string }
    SnapshotInfo: { snapshotID: string; names: string[] }
    Checkpoint: {
      checkpointID: string
      parentID: string | null
      createdAt: string
      why: string
      memory: boolean
      sizeBytes: number
      isHead: boolean
      names: string[]
    }
    KeepPolicy: { last: number; maxAgeSeconds?: number }
    SandboxTree: { sandboxID: string; keep: Schema<'KeepPolicy'>; checkpoints: Schema<'Checkpoint'>[] }
    SandboxRollbackRequest: { checkpointID: string }
    SandboxDiff: {
      from: string
      to: string
      added: string[]
      changed: string[]
      deleted: string[]
      isTruncated: boolean
    }
    StorageUsage: {
      checkpoints: number
      uploads: number
      uploadBytes: number
      sizeBytes: number
      storedBytes: number
      sharedBytes: number
      limitBytes: number | null
    }

    SandboxNetworkConfig: NetworkRules & {
      allowPublicTraffic?: boolean
      maskRequestHost?: string
      httpsPorts?: number[]
    }
    /** A field that is left out is cleared. */
    SandboxNetworkUpdateConfig: NetworkRules & { allow_internet_access?: boolean }
    SandboxNetworkRule: { transform?: Schema<'SandboxNetworkTransform'> }
    SandboxNetworkTransform: { headers?: { [key: string]: string } }
    SandboxEgressProxyConfig: { address: string; username?: string; password?: string } | null
    SandboxIam: { tokens?: Schema<'SandboxIamTokens'> }
    SandboxIamTokens: { [key: string]: Schema<'SandboxIamToken'> }
    SandboxIamToken: { audience: string; tokenType: string }

    /** Memory and disk in bytes, CPU in percent of one core. */
    SandboxMetric: {
      timestamp: string
      timestampUnix: number
      cpuCount: number
      cpuUsedPct: number
      memUsed: number
      memTotal: number
      memCache: number
      diskUsed: number
      diskTotal: number
    }
    SandboxesWithMetrics: { sandboxes: { [key: string]: Schema<'SandboxMetric'> } }
    SandboxLog: { timestamp: string; line: string }
    SandboxLogEntry: {
      timestamp: string
      message: string
      level: Schema<'LogLevel'>
      fields: { [key: string]: string }
    }
    SandboxLogs: { logs: Schema<'SandboxLog'>[]; logEntries: Schema<'SandboxLogEntry'>[] }
    SandboxLogsV2Response: { logs: Schema<'SandboxLogEntry'>[] }

    Template: TemplateRow & {
      buildID: string
      buildCount: number
      buildStatus: Schema<'TemplateBuildStatus'>
      cpuCount: Schema<'CPUCount'>
      memoryMB: Schema<'MemoryMB'>
      diskSizeMB: Schema<'DiskSizeMB'>
      envdVersion: Schema<'EnvdVersion'>
      createdBy: Schema<'TeamUser'> | null
    }
    TemplateWithBuilds: TemplateRow & { builds: Schema<'TemplateBuild'>[] }
    TemplateBuild: {
      buildID: string
      status: Schema<'TemplateBuildStatus'>
      createdAt: string
      updatedAt: string
      finishedAt?: string
      cpuCount: Schema<'CPUCount'>
      memoryMB: Schema<'MemoryMB'>
      diskSizeMB?: Schema<'DiskSizeMB'>
      envdVersion?: Schema<'EnvdVersion'>
    }
    TemplateBuildStatus: 'building' | 'waiting' | 'ready' | 'error'
    TemplateBuildRequestV3: {
      name?: string
      tags?: string[]
      cpuCount?: Schema<'CPUCount'>
      memoryMB?: Schema<'MemoryMB'>
      minFreeDiskMb?: Schema<'MinFreeDiskMb'>
      /** @deprecated */
      alias?: string
      /** @deprecated */
      teamID?: string
    }
    TemplateRequestResponseV3: {
      templateID: string
      buildID: string
      public: boolean
      names: string[]
      tags: string[]
      /** @deprecated */
      aliases: string[]
    }
    TemplateBuildStartV2: {
      fromImage?: string
      fromTemplate?: string
      fromImageRegistry?: Schema<'FromImageRegistry'>
      force?: boolean
      steps?: Schema<'TemplateStep'>[]
      startCmd?: string
      readyCmd?: string
      /** Of Sandlot. */
      templateEnvAtRuntime?: boolean
    }
    TemplateStep: { type: string; args?: string[]; force?: boolean; filesHash?: string }
    FromImageRegistry: Schema<'AWSRegistry'> | Schema<'GCPRegistry'> | Schema<'GeneralRegistry'>
    AWSRegistry: { type: 'aws'; awsAccessKeyId: string; awsSecretAccessKey: string; awsRegion: string }
    GCPRegistry: { type: 'gcp'; serviceAccountJson: string }
    GeneralRegistry: { type: 'registry'; username: string; password: string }
    TemplateBuildFileUpload: { present: boolean; url?: string; headers?: { [key: string]: string } }
    TemplateBuildInfo: {
      templateID: string
      buildID: string
      status: Schema<'TemplateBuildStatus'>
      logs: string[]
      logEntries: Schema<'BuildLogEntry'>[]
      reason?: Schema<'BuildStatusReason'>
    }
    BuildStatusReason: { message: string; step?: string; logEntries?: Schema<'BuildLogEntry'>[] }
    BuildLogEntry: { timestamp: string; message: string; level: Schema<'LogLevel'>; step?: string }
    TemplateBuildLogsResponse: { logs: Schema<'BuildLogEntry'>[] }
    TemplateAliasResponse: { templateID: string; public: boolean }
    TemplateTag: { tag: string; buildID: string; createdAt: string }
    AssignTemplateTagsRequest: { target: string; tags: string[] }
    AssignedTemplateTags: { tags: string[]; buildID: string }
    DeleteTemplateTagsRequest: { name: string; tags: string[] }
    TemplateUpdateRequest: { public?: boolean }
    TemplateUpdateResponse: { names: string[] }

    Volume: { volumeID: string; name: string }
    VolumeAndToken: Schema<'Volume'> & { token: string; domain?: string }
    NewVolume: { name: string }

    Secret: {
      secretID: string
      name: string
      currentVersion: number
      metadata: Schema<'SecretMetadata'>
      createdAt: string
      updatedAt: string
    }
    SecretMetadata: { [key: string]: string }
    NewSecret: { name: string; value: string; metadata?: Schema<'SecretMetadata'> }
    SecretUpdate: { value: string; metadata?: Schema<'SecretMetadata'> }

    Team: { teamID: string; name: string; apiKey: string; isDefault: boolean }
    TeamUser: { id: string; email: string | null }
    TeamMetric: {
      timestamp: string
      timestampUnix: number
      concurrentSandboxes: number
      sandboxStartRate: number
    }
    MaxTeamMetric: { timestamp: string; timestampUnix: number; value: number }
  }
}

/** One body by name. */
export type Schema<Name extends keyof components['schemas']> = components['schemas'][Name]

interface SandboxRow {
  templateID: string
  sandboxID: string
  /** @deprecated */
  clientID: string
  alias?: string
  startedAt: string
  endAt: string
  state: Schema<'SandboxState'>
  cpuCount: Schema<'CPUCount'>
  memoryMB: Schema<'MemoryMB'>
  diskSizeMB: Schema<'DiskSizeMB'>
  envdVersion: Schema<'EnvdVersion'>
  metadata?: Schema<'SandboxMetadata'>
  volumeMounts?: Schema<'SandboxVolumeMount'>[]
}

interface NetworkRules {
  /** CIDR blocks, addresses, domains, `*.domain`. */
  allowOut?: string[]
  /** CIDR blocks and addresses. */
  denyOut?: string[]
  egressProxy?: Schema<'SandboxEgressProxyConfig'>
  rules?: { [domain: string]: Schema<'SandboxNetworkRule'>[] }
}

interface TemplateRow {
  templateID: string
  public: boolean
  names: string[]
  /** @deprecated */
  aliases: string[]
  createdAt: string
  updatedAt: string
  lastSpawnedAt: string | null
  spawnCount: number
}
