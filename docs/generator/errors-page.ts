import { type ErrorName, errorTable } from '../../packages/protocol/src/errors.ts'
import { code, inline, table } from './markdown.ts'

const INTRODUCTION = `# Errors of the REST API

<!-- Generated from packages/protocol/src/errors.ts by \`npm run docs\`. Change that file, not this one. -->

Every error has the body \`{ "code": <status>, "message": "…", "error_code": "<code>" }\`. The message names the value that is wrong and what would be right; programs go
by \`error_code\`. "After" is the \`Retry-After\` header in seconds, where waiting helps. "May have acted" says that something may have been done before the error:
such answers have \`Should-Retry: false\`, and a request that is not idempotent must not be repeated blindly (\`Idempotency-Key\`: [REST API](rest-api.md)).
`

interface Row {
  status: number
  remedy: string
  retryAfterSeconds?: number
  mayHaveActed?: boolean
}

/** Makes the reference of all errors out of the error table. */
export function errorsPage(): string {
  const names = Object.keys(errorTable) as ErrorName[]
  const rows = names.map((name) => rowOf(name, errorTable[name]))
  return [INTRODUCTION, ...table(['Code', 'Status', 'After', 'May have acted', 'What to do'], rows)].join(
    '\n',
  )
}

const rowOf = (name: ErrorName, { status, remedy, retryAfterSeconds, mayHaveActed }: Row): string[] => [
  code(name),
  String(status),
  retryAfterSeconds === undefined ? '' : String(retryAfterSeconds),
  mayHaveActed ? 'yes' : '',
  inline(remedy),
]
