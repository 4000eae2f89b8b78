import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { ENVD_PORT } from '@sandlot/protocol'
import { afterEach, expect, test } from 'vitest'
import type { LiveMachine } from '../machines/machine.ts'
import { ImagePreparation } from './image-preparation.ts'

const ADDRESS = '127.0.9.31'
let envd: Server | undefined
afterEach(() => {
  envd?.closeAllConnections()
  envd?.close()
})

test('a build from an image with a shell that never ends fails soon, and the machine is ended', async () => {
  envd = createServer((request, response) => {
    if (request.url === '/init') response.writeHead(204).end()
    else response.writeHead(200, { 'content-type': 'application/connect+json' }).flushHeaders()
  }).listen(ENVD_PORT, ADDRESS)
  await once(envd, 'listening')
  const discarded: string[] = []
  const machine = {
    machineId: 'm1',
    slot: { address: ADDRESS },
    guest: { post: async () => {} },
  } as unknown as LiveMachine
  const preparation = new ImagePreparation({
    machines: { discard: async (id) => void discarded.push(id), saveFileSystem: async () => {} },
    start: async () => machine,
    layers: { find: async () => undefined, add: async () => {} },
    checkSpace: async () => {},
    checkTimeoutMs: 300,
  })
  const image = { name: 'evil:1', key: 'k', imagePath: '/none', diskSizeMB: 1, owner: 't', isForced: false }
  const signal = new AbortController().signal
  await expect(preparation.prepare({ ...image, log: () => {}, signal })).rejects.toThrow(
    "the shell of image 'evil:1' did not end within 0.3 s",
  )
  expect(discarded).toEqual(['m1'])
})

test.each([
  [true, 'made again'],
  [false, 'used as it is'],
])('a layer with a note of an earlier version (isPassing: %s) is %s', async (isPassing, outcome) => {
  const note = JSON.stringify({ missing: ['git'], reason: 'no source', isPassing })
  const preparation = new ImagePreparation({
    machines: { discard: async () => {}, saveFileSystem: async () => {} },
    start: () => Promise.reject(new Error('it is built again')),
    layers: { find: async () => ({ imagePath: '/none', note }), add: async () => {} },
    checkSpace: async () => {},
  })
  const image = { name: 'x:1', key: 'k', imagePath: '/none', diskSizeMB: 1, owner: 't', isForced: false }
  const preparing = preparation.prepare({ ...image, log: () => {}, signal: new AbortController().signal })
  if (outcome === 'built again') await expect(preparing).rejects.toThrow('it is built again')
  else expect(await preparing).toMatchObject({ imagePath: '/none' })
})
