export { ApiClient } from './api/client.ts'
export type { paths } from './api/paths.ts'
export type { components } from './api/schema.ts'
export { E2B, type E2BClientOpts } from './client.ts'
export type { CommandHandle } from './commands/command-handle.ts'
export {
  CommandExitError,
  type CommandResult,
  type PtyOutput,
  type Stderr,
  type Stdout,
} from './commands/command-result.ts'
export type {
  CommandConnectOpts,
  CommandStartOpts,
  Commands,
  ProcessInfo,
} from './commands/commands.ts'
export type { Pty } from './commands/pty.ts'
export type { CommandRequestOpts } from './commands/request-options.ts'
export type { ConnectionConfigOpts, ConnectionOpts, Username } from './connection-config.ts'
export { ConnectionConfig } from './connection-config.ts'
export {
  AuthenticationError,
  BuildError,
  CheckpointNotFoundError,
  FileNotFoundError,
  FileUploadError,
  GitAuthError,
  GitUpstreamError,
  InvalidArgumentError,
  NotEnoughSpaceError,
  NotFoundError,
  RateLimitError,
  SandboxError,
  SandboxNotFoundError,
  SecretError,
  SecretNotFoundError,
  ServiceBusyError,
  TemplateError,
  TimeoutError,
  VolumeError,
  VolumeNotFoundError,
  VolumePathNotFoundError,
} from './errors.ts'
export { type EntryInfo, FileType, type WriteInfo } from './files/entry.ts'
export type { Filesystem } from './files/filesystem.ts'
export type { FilesystemReadOpts, FilesystemWriteOpts } from './files/options.ts'
export { type FilesystemEvent, FilesystemEventType, type WatchHandle } from './files/watch-handle.ts'
export type { McpServers as McpServer } from './gen/mcp-servers.ts'
export { Git } from './git/git.ts'
export type {
  GitAddOpts,
  GitCloneOpts,
  GitCommitOpts,
  GitConfigOpts,
  GitConfigScope,
  GitDangerouslyAuthenticateOpts,
  GitDeleteBranchOpts,
  GitInitOpts,
  GitPullOpts,
  GitPushOpts,
  GitRemoteAddOpts,
  GitRequestOpts,
  GitResetMode,
  GitResetOpts,
  GitRestoreOpts,
} from './git/options.ts'
export type { GitBranches, GitFileStatus, GitStatus, GitStatusLabel } from './git/status.ts'
export type { Logger } from './logger.ts'
export type {
  SandboxCheckpoint,
  SandboxCheckpointReason,
  SandboxDiff,
  SandboxDiffOpts,
  SandboxKeepOpts,
  SandboxKeepPolicy,
  SandboxTree,
} from './sandbox/checkpoint.ts'
export type {
  EgressPaginator,
  SandboxEgressOpts,
  SandboxEgressProtocol,
  SandboxEgressRecord,
  SandboxEgressVerdict,
} from './sandbox/egress.ts'
export type { SandboxIamOpts } from './sandbox/iam.ts'
export type {
  SandboxInfo,
  SandboxInfoLifecycle,
  SandboxMetrics,
  SandboxState,
  SnapshotInfo,
} from './sandbox/info.ts'
export type { SandboxLifecycle, SandboxOnTimeout } from './sandbox/lifecycle.ts'
export {
  ALL_TRAFFIC,
  type SandboxEgressProxyInfo,
  type SandboxEgressProxyOpts,
  type SandboxEgressProxyTlsOpts,
  type SandboxNetworkInfo,
  type SandboxNetworkOpts,
  type SandboxNetworkRule,
  type SandboxNetworkRuleInfo,
  type SandboxNetworkRules,
  type SandboxNetworkSelector,
  type SandboxNetworkSelectorContext,
  type SandboxNetworkTransform,
  type SandboxNetworkTransformContext,
  type SandboxNetworkTransformResolver,
  type SandboxNetworkUpdate,
} from './sandbox/network.ts'
export type {
  CreateSnapshotOpts,
  SandboxApiOpts,
  SandboxConnectOpts,
  SandboxForkOpts,
  SandboxListOpts,
  SandboxListOrder,
  SandboxMetricsOpts,
  SandboxOnResume,
  SandboxOpts,
  SandboxPauseOpts,
  SandboxUpdateNetworkOpts,
  SnapshotListOpts,
} from './sandbox/options.ts'
export type { SandboxPaginator, SnapshotPaginator } from './sandbox/paginators.ts'
export { Sandbox, Sandbox as default } from './sandbox/sandbox.ts'
export { getSignature } from './sandbox/signature.ts'
export type { SandboxIamToken, SandboxIamTokenType } from './secret/iam-token.ts'
export {
  Secret,
  type SecretCreateOpts,
  type SecretDestroyOpts,
  type SecretExistsOpts,
  type SecretGetInfoOpts,
  type SecretInfo,
  type SecretListOpts,
  SecretPaginator,
  type SecretUpdateOpts,
} from './secret/secret.ts'
export type {
  BuildInfo,
  BuildOptions,
  BuildStatusReason,
  CopyItem,
  GetBuildStatusOptions,
  McpServerName,
  TemplateBuilder,
  TemplateBuildStatus,
  TemplateBuildStatusResponse,
  TemplateClass,
  TemplateTag,
  TemplateTagInfo,
} from './template/index.ts'
export {
  defaultBuildLogger,
  LogEntry,
  LogEntryEnd,
  type LogEntryLevel,
  LogEntryStart,
  ReadyCmd,
  Template,
  TemplateBase,
  waitForFile,
  waitForPort,
  waitForProcess,
  waitForTimeout,
  waitForURL,
} from './template/index.ts'
export type {
  DeletedVolumeInfo,
  DestroyVolumeOpts,
  NewVolumeOpts,
  VolumeAndToken,
  VolumeApiOpts,
  VolumeConnectionConfig,
  VolumeEntryStat,
  VolumeInfo,
  VolumeMetadataOptions,
  VolumeMetadataOpts,
  VolumeReadOpts,
  VolumeWriteOptions,
  VolumeWriteOpts,
} from './volume/index.ts'
export { Volume, VolumeFileType } from './volume/index.ts'
