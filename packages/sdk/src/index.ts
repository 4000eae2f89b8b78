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
