// `npm run generate` writes the OpenAPI document with this, which readers and generators of clients take from the repository.
import { writeFileSync } from 'node:fs'
import { describeApi } from './describe.ts'

const [path] = process.argv.slice(2)
if (!path) throw new Error('usage: write-openapi.ts <file>')
writeFileSync(path, `${JSON.stringify(await describeApi(), null, 2)}\n`)
