import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { npmLocks, pythonLock, repositoryRoot } from './locked-packages.ts'
import { catalogNames } from './names.ts'

interface Lock {
  packages: Record<
    string,
    {
      version?: string
      integrity?: string
      inBundle?: boolean
      hasInstallScript?: boolean
      dependencies?: Record<string, string>
    }
  >
}

const read = (...path: string[]) => readFileSync(join(repositoryRoot, ...path), 'utf8')

describe.each(npmLocks)('%s', (folder) => {
  const wanted = JSON.parse(read(folder, 'package.json'))
  const { packages } = JSON.parse(read(folder, 'package-lock.json')) as Lock

  test('locks the requirements of its package.json by exact version', () => {
    expect(packages['']?.dependencies).toEqual(wanted.dependencies)
    for (const [name, version] of Object.entries(wanted.dependencies))
      expect(packages[`node_modules/${name}`]?.version).toBe(version)
  })

  test('has a sha512 for every package that is fetched', () => {
    const fetched = Object.entries(packages).filter(([path, { inBundle }]) => path !== '' && !inBundle)
    expect(fetched.filter(([, { integrity }]) => !integrity?.startsWith('sha512-'))).toEqual([])
  })

  test('states for every install script whether it runs', () => {
    const name = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const withScript = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript)
    // the base image installs npm and yarn with --ignore-scripts
    const expected = folder.endsWith('base-npm') ? [] : withScript.map(([path]) => name(path)).sort()
    expect(Object.keys(wanted.allowScripts ?? {}).sort()).toEqual(expected)
  })
})

test.each(pythonLock.files)('%s is locked with hashes in %s', (from, to) => {
  const lock = read(pythonLock.folder, to)
  for (const line of read(pythonLock.folder, from)
    .split('\n')
    .filter((line) => /^\w/.test(line)))
    expect(`\n${lock}`.toLowerCase().replaceAll('_', '-')).toContain(
      `\n${line.toLowerCase().replaceAll('_', '-')} \\\n`,
    )
  const requirements = lock.split(/\n(?=\S)/)
  expect(requirements.filter((text) => !/--hash=sha256:[0-9a-f]{64}/.test(text))).toEqual([])
})

test('no template, and no part of the base image, installs from npm or PyPI by version', () => {
  const files = catalogNames.map((name) => join('templates', name, 'template.ts'))
  files.push('packages/node/src/images/base-image.ts', 'templates/locked-packages.ts')
  const loose = files.flatMap((file) =>
    read(file)
      .split('\n')
      .filter(
        (line) => !/^\s*(\/\/|\*|\/\*)/.test(line) && /\bnpm (install|i|add)\b|'install'|\bnpx /.test(line),
      )
      .concat(read(file).match(/^.*\bpip install\b(?!.*--require-hashes).*$/gm) ?? [])
      .map((line) => `${file}: ${line.trim()}`),
  )
  expect(loose).toEqual([])
})

test('every npm folder of a template is in the list', () => {
  const found = globSync('templates/*/npm', { cwd: repositoryRoot }).sort()
  expect(found).toEqual(npmLocks.filter((folder) => folder.startsWith('templates/')))
})
