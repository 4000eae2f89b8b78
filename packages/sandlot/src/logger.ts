import { Writable } from 'node:stream'
import { type Logger, pino } from 'pino'

const LEVEL_NAMES: Record<number, string> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
}
const MAX_UNWRITTEN_BYTES = 1024 * 1024
const HIDDEN = new Set(['level', 'time', 'pid', 'hostname', 'msg'])

/** Logs JSON lines to standard output, or short readable lines when standard output is a terminal. */
export function createLogger(level: string): Logger {
  if (!process.stdout.isTTY) {
    const destination = pino.destination({
      fd: process.stdout.fd,
      sync: true,
      maxLength: MAX_UNWRITTEN_BYTES,
    })
    // A full disk or a closed pipe must not end the server: lines are lost until writing works again.
    destination.on('error', () => {})
    return pino({ level }, destination)
  }
  const terminal = new Writable({
    write(chunk: Buffer, _encoding, done) {
      process.stdout.write(formatLine(chunk.toString()), () => done())
    },
  })
  return pino({ level }, terminal)
}

/** `12:34:56 warn  the text key=value`. */
export function formatLine(json: string): string {
  const entry = JSON.parse(json) as Record<string, unknown> & { level: number; time: number; msg?: string }
  const time = new Date(entry.time).toISOString().slice(11, 19)
  const rest = Object.entries(entry)
    .filter(([key]) => !HIDDEN.has(key))
    .map(([key, value]) => `${key}=${show(value)}`)
  return `${[time, (LEVEL_NAMES[entry.level] ?? '').padEnd(5), entry.msg ?? '', ...rest].join(' ')}\n`
}

function show(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const { message } = value as { message?: unknown }
  return typeof message === 'string' ? message : JSON.stringify(value)
}
