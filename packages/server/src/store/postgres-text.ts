/** Replaces NUL by U+FFFD: PostgreSQL's text holds none, which SQLite's does, and names and logs may have one. */
export const storableInPostgres = <T>(value: T): T | string =>
  typeof value === 'string' && value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value
