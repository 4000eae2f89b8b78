import type { Kysely } from 'kysely'

/** A database, or a transaction in one. */
export type Store = Kysely<Schema>

/**
 * Types of the tables for Kysely, equal for SQLite and PostgreSQL. Times are Unix milliseconds, JSON is text, booleans
 * are 0 and 1.
 */
export interface Schema {
  plans: PlansTable
  teams: TeamsTable
  api_keys: ApiKeysTable
  server_secrets: ServerSecretsTable
  login_links: LoginLinksTable
  sessions: SessionsTable
  session_tokens: SessionTokensTable
  templates: TemplatesTable
  builds: BuildsTable
  build_logs: BuildLogsTable
  template_tags: TemplateTagsTable
  tag_assignments: TagAssignmentsTable
  uploads: UploadsTable
  upload_uses: UploadUsesTable
  checkpoints: CheckpointsTable
  sandboxes: SandboxesTable
  sandbox_metrics: SandboxMetricsTable
  events: EventsTable
  idempotency_keys: IdempotencyKeysTable
  secrets: SecretsTable
  identity_keys: IdentityKeysTable
  egress_records: EgressRecordsTable
  volumes: VolumesTable
  control_plane_lease: ControlPlaneLeaseTable
}

/** What plans allow. null: the default, which is no limit for all columns but `unfinished_builds`, `uploads`, `upload_mb` and `diffs` (`teams/limits.ts`). */
export interface PlansTable {
  name: string
  concurrent_sandboxes: number | null
  creates_per_second: number | null
  max_length_hours: number | null
  requests_per_second: number | null
  storage_mb: number | null
  cpu_count: number | null
  memory_mb: number | null
  disk_size_mb: number | null
  unfinished_builds: number | null
  uploads: number | null
  upload_mb: number | null
  volume_mb: number | null
  diffs: number | null
}

export interface TeamsTable {
  id: string
  name: string
  slug: string
  plan: string
  created_at: number
}

export interface ApiKeysTable {
  id: string
  team_id: string
  name: string
  hash: string
  masked_prefix: string
  masked_suffix: string
  created_at: number
  last_used_at: number | null
  /** Session of the key, with which the key is deleted. */
  session_id?: string | null
}

/** Secrets of this server; 32 bytes as hex. */
export interface ServerSecretsTable {
  name: string
  value: string
}

/** Tokens of login links, each valid for one sign-in. */
export interface LoginLinksTable {
  hash: string
  team_id: string
  expires_at: number
}

export interface SessionsTable {
  id: string
  kind: 'browser' | 'cli' | 'machine'
  team_id: string
  /** Name that is shown to users: `E2B CLI 2.19.0`, or the name of a machine's token. */
  name: string
  created_at: number
  expires_at: number
}

/** Secrets of sessions: a browser's cookie, the CLI's refresh tokens, a machine's access token. */
export interface SessionTokensTable {
  hash: string
  session_id: string
  expires_at: number
  /** When a refresh token was exchanged for a new one. */
  used_at: number | null
}

export interface TemplatesTable {
  id: string
  /** null: a built-in template, which all teams may start from. */
  team_id: string | null
  /** null: a snapshot without a name. */
  name: string | null
  is_public: number
  created_at: number
  updated_at: number
  spawn_count: number
  last_spawned_at: number | null
}

/** Builds that are checkpoints, or will be; the node itself lists the built-in ones. */
export interface BuildsTable {
  id: string
  template_id: string
  checkpoint_id: string
  /** Sandbox that the snapshot was taken from, which may have ended; empty: a build by steps. */
  sandbox_id: string
  status: string
  /** JSON of the reason why the build failed. */
  reason: string | null
  updated_at: number
  finished_at: number | null
  /** JSON array of the tags that the build gets when it is ready. */
  tags: string
  /** JSON of the variables that the steps have set. */
  env_vars: string
  /** JSON of the variables that commands of sandboxes get, beside those of the create. */
  runtime_env_vars: string
  created_at: number
  cpu_count: number
  memory_mb: number
  disk_size_mb: number
  default_user: string
  default_workdir: string | null
}

export interface BuildLogsTable {
  build_id: string
  sequence: number
  timestamp: number
  level: string
  message: string
  step: string | null
}

export interface TemplateTagsTable {
  template_id: string
  tag: string
  build_id: string
  created_at: number
}

/** Every assignment of a tag to a build. */
export interface TagAssignmentsTable {
  id: string
  template_id: string
  tag: string
  build_id: string
  assigned_at: number
}

/** Archives for COPY steps, files in `<home>/uploads`. */
export interface UploadsTable {
  team_id: string
  hash: string
  size_bytes: number
  used_at: number
}

/** Templates that use an archive, which is deleted with the last of them. */
export interface UploadUsesTable {
  team_id: string
  hash: string
  template_id: string
}

export interface CheckpointsTable {
  id: string
  team_id: string
  sandbox_id: string
  parent_id: string | null
  why: string
  /**
   * `writing` until the node has completed the checkpoint; `deleting` from the decision to delete the checkpoint until it
   * is gone.
   */
  state: string
  has_memory: number
  guest_unresponsive: number
  size_bytes: number
  created_at: number
  /** Home with the files; empty in a SQLite database, which has only one home. */
  node_id: string
}

export interface SandboxesTable {
  id: string
  team_id: string
  template_id: string
  template_name: string
  build_id: string
  execution_id: string
  machine_id: string
  state: string
  kill_reason: string | null
  started_at: number
  end_at: number
  ended_at: number | null
  envd_access_token: string | null
  /** JSON of `SandboxSettings`. */
  settings: string
  metadata: string
  cpu_count: number
  memory_mb: number
  disk_size_mb: number
  /** Checkpoint that the sandbox was last saved as, or started from. */
  checkpoint_id: string | null
  paused_at: number | null
  default_user: string
  default_workdir: string | null
  /** Home with the machine or the checkpoints; empty in a SQLite database, which has only one home. */
  node_id: string
}

export interface SandboxMetricsTable {
  sandbox_id: string
  timestamp: number
  cpu_used_pct: number
  mem_used: number
  mem_cache: number
  disk_used: number
}

export interface EventsTable {
  sequence?: number
  id: string
  team_id: string
  sandbox_id: string
  type: string
  timestamp: number
  body: string
}

/** Requests with an `Idempotency-Key`; a row is inserted before its request runs. */
export interface IdempotencyKeysTable {
  team_id: string
  key_hash: string
  /** Hash of method, path and body. */
  request_hash: string
  created_at: number
  /** Answer, sealed with a key that is derived from the Idempotency-Key; null until the request has ended. */
  answer: string | null
}

/** Values for headers of requests that leave sandboxes; only the newest value of each is kept. */
export interface SecretsTable {
  id: string
  team_id: string
  /** Lower-case, unique within the team. */
  name: string
  version: number
  /** JSON. */
  metadata: string
  created_at: number
  updated_at: number
  /** Id of the key that `value` is encrypted with. */
  key_id: string
  /** Base64 of nonce, tag and ciphertext. */
  value: string
}

/** Keys that sign identity tokens of sandboxes, one after the other. */
export interface IdentityKeysTable {
  sequence: number
  /** Name of the key in tokens and in the published keys. */
  kid: string
  /** JSON Web Key. */
  public_key: string
  /** The key signs from this time on, until the next one does. */
  signs_at: number
  created_at: number
  /** Id of the key that `private_key` is encrypted with. */
  key_id: string
  /** Base64 of nonce, tag and ciphertext. */
  private_key: string
}

/** Outgoing connections, HTTP requests and DNS queries of sandboxes (`ConnectionRecord` of the node's contract). */
export interface EgressRecordsTable {
  /** Order in which the records arrived. */
  sequence?: number
  /** UUID that the node gave. */
  id: string
  team_id: string
  sandbox_id: string
  recorded_at: number
  started_at: number
  duration_ms: number
  protocol: string
  name: string | null
  address: string | null
  port: number | null
  bytes_out: number
  bytes_in: number
  verdict: string
  rule: string
  reason: string | null
  http_method: string | null
  http_host: string | null
  http_path: string | null
  http_status: number | null
}

/** Volumes of teams; their files are in the folder of volumes, by id. */
export interface VolumesTable {
  id: string
  team_id: string
  /** Unique among the volumes of the team that are not deleted. */
  name: string
  size_bytes: number
  created_at: number
  /** Null: the server stopped while it created the files. */
  ready_at: number | null
  /** Not null: the volume can be restored for a while. */
  deleted_at: number | null
  /** Id of the volume that this is a snapshot of; null: an ordinary volume. */
  snapshot_of: string | null
}

/** One row that names the active server of a PostgreSQL database (docs/adr/0032). */
export interface ControlPlaneLeaseTable {
  name: string
  /** Application name of the holder's connections. */
  holder: string
  /** Shown to servers that wait: machine, home and process of the holder. */
  about: string
  /** Number of the holder: grows with each takeover. */
  epoch: number
  /** By the clock of the database. */
  expires_at: Date
}
