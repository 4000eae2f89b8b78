/** A failure inside or with a sandbox. Most other errors derive from this class. */
export class SandboxError extends Error {
  /** HTTP status of the answer that led to this error; undefined for an error without an answer. */
  statusCode?: number

  constructor(message?: string) {
    super(message)
    this.name = 'SandboxError'
    this.statusCode = undefined
  }
}

/**
 * The request, the command or the watch exceeded its timeout, or the sandbox reached its end of life.
 * The message says which of these happened and which option extends the time.
 */
export class TimeoutError extends SandboxError {
  constructor(message: string) {
    super(message)
    this.name = 'TimeoutError'
  }
}

/** An argument that the SDK, the API or the sandbox refuses; the message names it. */
export class InvalidArgumentError extends SandboxError {
  constructor(message: string, stackTrace?: string) {
    super(message)
    this.name = 'InvalidArgumentError'
    if (stackTrace) this.stack = stackTrace
  }
}

/** The disk of the sandbox is full. */
export class NotEnoughSpaceError extends SandboxError {
  constructor(message: string) {
    super(message)
    this.name = 'NotEnoughSpaceError'
  }
}

/**
 * Something does not exist.
 *
 * @deprecated Catch {@link FileNotFoundError} or {@link SandboxNotFoundError}, which say what is missing.
 */
export class NotFoundError extends SandboxError {
  constructor(message: string) {
    super(message)
    this.name = 'NotFoundError'
  }
}

/** A file or directory inside a sandbox does not exist. */
export class FileNotFoundError extends NotFoundError {
  constructor(message: string) {
    super(message)
    this.name = 'FileNotFoundError'
  }
}

/** The sandbox does not exist or no longer exists. */
export class SandboxNotFoundError extends NotFoundError {
  constructor(message: string) {
    super(message)
    this.name = 'SandboxNotFoundError'
  }
}

/** The sandbox has no such checkpoint, or the checkpoint was deleted; `tree` lists the existing checkpoints. */
export class CheckpointNotFoundError extends NotFoundError {
  constructor(message: string) {
    super(message)
    this.name = 'CheckpointNotFoundError'
  }
}

/** The API key or access token is missing or not accepted. Not a {@link SandboxError}. */
export class AuthenticationError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'AuthenticationError'
  }
}

/**
 * The git remote requires credentials, or refused the given ones.
 *
 * @deprecated With the git module; run git through `sandbox.commands.run()`.
 */
export class GitAuthError extends AuthenticationError {
  constructor(message: string) {
    super(message)
    this.name = 'GitAuthError'
  }
}

/**
 * The branch has no upstream to push to or pull from.
 *
 * @deprecated With the git module; run git through `sandbox.commands.run()`.
 */
export class GitUpstreamError extends SandboxError {
  constructor(message: string) {
    super(message)
    this.name = 'GitUpstreamError'
  }
}

/** The template is invalid, or was built with an envd too old for the call. */
export class TemplateError extends SandboxError {
  constructor(message: string, stackTrace?: string) {
    super(message)
    this.name = 'TemplateError'
    if (stackTrace) this.stack = stackTrace
  }
}

/** Too many requests (HTTP 429), also after the retries that `Retry-After` allowed. */
export class RateLimitError extends SandboxError {
  constructor(message: string) {
    super(message)
    this.name = 'RateLimitError'
  }
}

/**
 * The service has no capacity at the moment (HTTP 503). Nothing was changed: repeat the call after a short wait.
 * Not a {@link SandboxError}, as any operation can throw this error.
 */
export class ServiceBusyError extends Error {
  readonly statusCode = 503

  constructor(message: string) {
    super(message)
    this.name = 'ServiceBusyError'
  }
}

/** The build of a template failed. */
export class BuildError extends Error {
  constructor(message: string, stackTrace?: string) {
    super(message)
    this.name = 'BuildError'
    if (stackTrace) this.stack = stackTrace
  }
}

/** The files of a build could not be uploaded. */
export class FileUploadError extends BuildError {
  constructor(message: string, stackTrace?: string) {
    super(message, stackTrace)
    this.name = 'FileUploadError'
  }
}

/** A failure with a volume. */
export class VolumeError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'VolumeError'
  }
}

/** The volume does not exist. */
export class VolumeNotFoundError extends VolumeError {
  constructor(message: string) {
    super(message)
    this.name = 'VolumeNotFoundError'
  }
}

/** A file or directory inside a volume does not exist. */
export class VolumePathNotFoundError extends VolumeError {
  constructor(message: string) {
    super(message)
    this.name = 'VolumePathNotFoundError'
  }
}

/** A failure with a secret. */
export class SecretError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'SecretError'
  }
}

/** The secret does not exist. */
export class SecretNotFoundError extends SecretError {
  constructor(message: string) {
    super(message)
    this.name = 'SecretNotFoundError'
  }
}
