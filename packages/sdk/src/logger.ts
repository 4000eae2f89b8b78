/** Logger of the SDK, for example `console`. Requests are logged as `info` or `debug`, error answers as `error`. */
export interface Logger {
  /** Details: request and stream events. */
  debug?(...args: unknown[]): void
  /** Requests and their answers. */
  info?(...args: unknown[]): void
  /** Unusual events that are not failures. */
  warn?(...args: unknown[]): void
  /** Answers that are errors. */
  error?(...args: unknown[]): void
}
