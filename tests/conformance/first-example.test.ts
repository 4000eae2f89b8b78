import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { server } from './official.ts'
import { pythonOf, pythonVersions } from './python/venv.ts'

/** Verbatim from the first page of the documents (e2b-docs.txt, "What is E2B?"). */
const javascript = `import { Sandbox } from 'e2b'
const sandbox = await Sandbox.create() // Needs E2B_API_KEY environment variable
const result = await sandbox.commands.run('echo "Hello from E2B Sandbox!"')
console.log(result.stdout)
`
const python = `from e2b import Sandbox
sandbox = Sandbox.create() # Needs E2B_API_KEY environment variable
result = sandbox.commands.run('echo "Hello from E2B Sandbox!"')
print(result.stdout)
`

/** Runs the program with only the variables of `<home>/env`. */
const run = async (file: string, args: string[], cwd: string): Promise<string> => {
  const options = { cwd, env: { ...process.env, ...server.env }, timeout: 60_000 }
  return (await promisify(execFile)(file, args, options)).stdout
}

describe('the first example of the documents', () => {
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'first-example-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test.each(['e2b-official', 'e2b-official-2-31', 'e2b'])(
    'prints its line in JavaScript with %s',
    async (alias) => {
      const project = path.join(folder, alias)
      await mkdir(path.join(project, 'node_modules'), { recursive: true })
      const packaged = path.dirname(path.dirname(fileURLToPath(import.meta.resolve(alias))))
      await symlink(packaged, path.join(project, 'node_modules/e2b'))
      await writeFile(path.join(project, 'example.mjs'), javascript)
      expect(await run(process.execPath, ['example.mjs'], project)).toBe('Hello from E2B Sandbox!\n\n')
    },
    70_000,
  )

  test.each(pythonVersions)(
    'prints its line in Python with e2b %s',
    async (version) => {
      const file = path.join(folder, `example-${version}.py`)
      await writeFile(file, python)
      expect(await run(await pythonOf(version), [file], folder)).toBe('Hello from E2B Sandbox!\n\n')
    },
    400_000,
  )
})
