import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { installedKernels } from './kernelspec.ts'

const root = await mkdtemp(join(tmpdir(), 'kernelspec-'))
afterAll(() => rm(root, { recursive: true }))

async function install(folder: string, name: string, spec: string): Promise<string> {
  await mkdir(join(root, folder, name), { recursive: true })
  await writeFile(join(root, folder, name, 'kernel.json'), spec)
  return join(root, folder)
}

test('all kernelspecs are found, and the first folder that contains a name wins', async () => {
  const first = await install('first', 'python3', '{"argv":["ours"],"language":"python"}')
  const second = await install('second', 'python3', '{"argv":["theirs"],"language":"python"}')
  await install('second', 'ir', '{"argv":["R","{resource_dir}/x"],"language":"R","interrupt_mode":"message"}')
  const kernels = await installedKernels([first, join(root, 'missing'), second])
  expect(kernels.get('python3')).toMatchObject({ argv: ['ours'], interruptMode: 'signal', transport: 'tcp' })
  expect(kernels.get('ir')).toMatchObject({ argv: ['R', `${second}/ir/x`], interruptMode: 'message' })
})

test('a kernelspec that is not JSON, or has no command, is left out', async () => {
  const folder = await install('broken', 'a', '{')
  await install('broken', 'b', '{"argv":[]}')
  expect([...(await installedKernels([folder])).keys()]).toEqual([])
})
