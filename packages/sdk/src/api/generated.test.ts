import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const sdk = join(import.meta.dirname, '../..')

test('the types of the API are those of the document in the repository (npm run generate)', async () => {
  const generator = join(sdk, 'node_modules/.bin/openapi-typescript')
  const args = ['../protocol/openapi.json', '--output', 'src/gen/api.ts', '--default-non-nullable=false']
  // with `--check` the generator fails when its output differs from the committed file
  await expect(promisify(execFile)(generator, [...args, '--check'], { cwd: sdk })).resolves.toBeDefined()
})
