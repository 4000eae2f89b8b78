// Writes the OpenAPI document to the repository, for readers and client generators; called by `npm run generate`.
import { writeFileSync } from 'node:fs'
import { describeApi } from './describe.ts'

const [path] = process.argv.slice(2)
if (!path) throw new Error('usage: write-openapi.ts <file>')
writeFileSync(path, `${JSON.stringify(await describeApi(), null, 2)}\n`)
