import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const sdk = join(import.meta.dirname, '../..')

test('the types of the API are those of the document in the repository (npm run generate)', async () => {
  const generator = join(sdk, 'node_modules/.bin/openapi-typescript')
  const args = ['../protocol/openapi.json', '--output', 'src/gen/api.ts', '--default-non-nullable=false']
  // ends with an error when the file is not what it would write
  await expect(promisify(execFile)(generator, [...args, '--check'], { cwd: sdk })).resolves.toBeDefined()
})
