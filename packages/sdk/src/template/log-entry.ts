import { stripVTControlCharacters } from './control-characters.ts'

/** Levels from the least to the most important. */
export type LogEntryLevel = 'debug' | 'info' | 'warn' | 'error'

/** One line of a build's log, free of terminal control sequences. */
export class LogEntry {
  readonly timestamp: Date
  readonly level: LogEntryLevel
  readonly message: string

  constructor(timestamp: Date, level: LogEntryLevel, message: string) {
    this.timestamp = timestamp
    this.level = level
    this.message = stripVTControlCharacters(message)
  }

  /** `[<time, ISO 8601>] [<level>] <message>` */
  toString(): string {
    return `[${this.timestamp.toISOString()}] [${this.level}] ${this.message}`
  }
}

/** The first entry of a build. */
export class LogEntryStart extends LogEntry {
  constructor(timestamp: Date, message: string) {
    super(timestamp, 'debug', message)
  }
}

/** The last entry of a build, whether it succeeded or not. */
export class LogEntryEnd extends LogEntry {
  constructor(timestamp: Date, message: string) {
    super(timestamp, 'debug', message)
  }
}
