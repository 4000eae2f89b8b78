import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const ours = join(root, 'packages/sdk/src/index.ts')
const official = join(root, 'node_modules/e2b-official/dist/index.d.mts')

/** Declarations of names that the snippets take from elsewhere. */
const SURROUNDINGS = `
declare module '@opencode-ai/sdk' { export const createOpencodeClient: any }
declare const template: import('e2b').TemplateClass
`

let directory = ''

beforeAll(async () => {
  // A folder inside the repository, so that @types/node is found.
  directory = await mkdtemp(join(root, 'node_modules/.documentation-types-'))
  const fixture = await readFile(join(import.meta.dirname, 'fixtures/documentation-snippets.md'), 'utf8')
  const snippets = [...fixture.matchAll(/^```typescript\n([\s\S]*?)^```$/gm)].map(([, code]) => code!)
  expect(snippets).toHaveLength(32)
  let folder = ''
  for (const [at, code] of snippets.entries()) {
    // `// build.ts` imports the `./template` of the snippet before.
    const name = code.match(/^\/\/ (\w+\.ts)\n/)?.[1] ?? 'snippet.ts'
    if (name !== 'build.ts') folder = join(directory, String(at + 1).padStart(2, '0'))
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, name), code)
  }
  await writeFile(join(directory, 'surroundings.d.ts'), SURROUNDINGS)
})

afterAll(() => rm(directory, { recursive: true }))

/** Checks all snippets with one package as `e2b`. @returns the errors: file, line, column, and code */
async function typeErrors(e2b: string, strictNullChecks: boolean): Promise<string[]> {
  const config = join(directory, 'tsconfig.json')
  const compilerOptions = {
    target: 'esnext',
    module: 'esnext',
    moduleResolution: 'bundler',
    moduleDetection: 'force',
    lib: ['esnext', 'dom', 'dom.iterable'],
    types: ['node'],
    strict: true,
    strictNullChecks,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    paths: { e2b: [e2b] },
  }
  await writeFile(config, JSON.stringify({ compilerOptions, include: ['**/*.ts'] }))
  const tsc = join(root, 'node_modules/.bin/tsc')
  const options = { cwd: dirname(config), timeout: 60_000 }
  const { stdout } = await promisify(execFile)(tsc, ['-p', config, '--pretty', 'false'], options).catch(
    (error) => error,
  )
  return stdout
    .split('\n')
    .flatMap((line: string) => line.match(/^\d\d\/.*?\(\d+,\d+\): error TS\d+/)?.[0] ?? [])
}

test('the snippets of the documentation have the types of our SDK', { timeout: 60_000 }, async () => {
  // The snippets pass environment variables on without checking that they are set.
  expect(await typeErrors(ours, false)).toEqual([])
})

test('strict checks reject no more snippets than with the official SDK', { timeout: 60_000 }, async () => {
  expect(await typeErrors(official, true)).toEqual(expect.arrayContaining(await typeErrors(ours, true)))
})
