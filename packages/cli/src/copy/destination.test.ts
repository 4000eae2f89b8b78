import { describe, expect, it } from 'vitest'
import { baseName, landingPath, remoteName } from './destination.ts'

const file = { path: 'a/data.csv', isDirectory: false }
const directory = { path: 'a/site/', isDirectory: true }

describe('landingPath', () => {
  it.each([
    ['a file onto a new name', file, '/tmp/x', undefined, '/tmp/x'],
    ['a file over a file', file, '/tmp/x', 'file', '/tmp/x'],
    ['a file into a directory', file, '/tmp', 'directory', '/tmp/data.csv'],
    ['a file into the root', file, '/', 'directory', '/data.csv'],
    ['a file into a directory that does not exist yet', file, '/tmp/new/', undefined, '/tmp/new/data.csv'],
    ['a directory onto a new name', directory, '/srv/www', undefined, '/srv/www'],
    ['a directory into a directory', directory, '/srv', 'directory', '/srv/site'],
    ['the content of a directory', { path: 'site/.', isDirectory: true }, '/srv', 'directory', '/srv'],
    ['the content of this directory', { path: '.', isDirectory: true }, '/srv', 'directory', '/srv'],
  ] as const)('%s', (_, source, path, existing, lands) => {
    expect(landingPath(source, { path, existing })).toBe(lands)
  })

  it('does not replace a file by a directory', () => {
    expect(landingPath(directory, { path: '/tmp/x', existing: 'file' })).toBeUndefined()
  })
})

it.each([
  ['/data/report.csv', '/x/.bashrc', 'report.csv'],
  ['site/', '/x/..', 'site'],
  ['..', '/home/user', 'user'],
  ['~', '/home/user', 'user'],
  ['..', '/x/..', undefined],
  ['/', '/', undefined],
])('a copy of %j, whose path the sandbox reports as %j, is called %j', (source, said, name) => {
  expect(remoteName(source, said)).toBe(name)
})

it('baseName takes the last name', () => {
  expect([baseName('/a/b'), baseName('b/'), baseName('/')]).toEqual(['b', 'b', ''])
})
