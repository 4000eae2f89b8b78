/** The part of pino's logger that volumes use. */
export interface Logger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}
