export { ApiClient } from './api/client.ts'
export type { paths } from './api/paths.ts'
export type { components } from './api/schema.ts'
export type { ConnectionConfigOpts, ConnectionOpts, Username } from './connection-config.ts'
export { ConnectionConfig } from './connection-config.ts'
export {
  AuthenticationError,
  BuildError,
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
export type { Logger } from './logger.ts'
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
