/** Logger of the SDK; `console` is one. Requests are logged as `info` or `debug`, refusals as `error`. */
export interface Logger {
  /** Details: request and stream events. */
  debug?(...args: unknown[]): void
  /** Requests and their answers. */
  info?(...args: unknown[]): void
  /** Unusual events that are no failures. */
  warn?(...args: unknown[]): void
  /** Answers that are errors. */
  error?(...args: unknown[]): void
}
