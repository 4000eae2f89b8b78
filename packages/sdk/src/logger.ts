/** Where the SDK writes what it does; `console` is one. Requests go to `info` or `debug`, refusals to `error`. */
export interface Logger {
  /** Details: request and stream events. */
  debug?(...args: unknown[]): void
  /** What was asked and what came back. */
  info?(...args: unknown[]): void
  /** What is odd but no failure. */
  warn?(...args: unknown[]): void
  /** Answers that are errors. */
  error?(...args: unknown[]): void
}
