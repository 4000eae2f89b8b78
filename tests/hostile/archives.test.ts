import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { beforeAll, describe, expect, test } from 'vitest'
import { server } from './guest.ts'

const headers = { 'x-api-key': String(server.env.E2B_API_KEY), 'content-type': 'application/json' }
const call = async (method: string, path: string, body?: unknown) => {
  const url = `${server.env.E2B_API_URL}${path}`
  const request = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }
  return (await fetch(url, { ...request, signal: AbortSignal.timeout(20_000) })).json()
}

async function tarOf(...entries: Array<Partial<Header> & { name: string; content?: Buffer }>) {
  const archive = pack()
  for (const { content, ...header } of entries) archive.entry(header, content ?? Buffer.alloc(0))
  archive.finalize()
  return buffer(archive)
}

/** Processor time that a process has used. */
function secondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

describe('archives of a COPY', () => {
  let template: string
  let count = 0
  beforeAll(async () => {
    const { templateID } = (await call('POST', '/v3/templates', { name: `archives-${process.pid}` })) as {
      templateID: string
    }
    template = templateID
  })

  const upload = async (content: Buffer): Promise<[status: number, message: string]> => {
    const hash = (count++).toString(16).padStart(64, 'f')
    const { url } = (await call('GET', `/templates/${template}/files/${hash}`)) as { url: string }
    const answer = await fetch(url, {
      method: 'PUT',
      body: new Uint8Array(content),
      signal: AbortSignal.timeout(120_000),
    })
    const text = await answer.text()
    return [answer.status, text === '' ? '' : JSON.parse(text).message]
  }
  const kept = () => readdirSync(join(server.home, 'uploads'))

  test('that are cut off anywhere are refused with the reason, and leave nothing behind', async () => {
    const tar = await tarOf(
      { name: 'x', content: randomBytes(3000) },
      { name: 'y', content: Buffer.from('y') },
    )
    const zipped = gzipSync(tar)
    const before = kept()
    const cuts = [0, 1, 511, 512, 1000, 4096, tar.length - 1024].map((at) => tar.subarray(0, at))
    for (const cut of [...cuts, ...[1, 2, 12, 1500, zipped.length - 3].map((at) => zipped.subarray(0, at))]) {
      const [status, message] = await upload(cut)
      expect(status, `cut after ${cut.length} bytes: ${message}`).toBe(400)
      expect(message).toMatch(/^the archive is refused: it is (empty|cut off|not a tar)/)
    }
    expect(kept()).toEqual(before)
    expect((await upload(zipped))[0]).toBe(200)
  })

  test('that are bombs cost the server no more than their bytes', async () => {
    // each of them consists of a header only
    const header = (await tarOf({ name: 'empty' })).subarray(0, 512)
    const many = Buffer.concat([...Array<Buffer>(250_000).fill(header), Buffer.alloc(1024)])
    const large = await tarOf({ name: 'zeros', content: Buffer.alloc(256 * 2 ** 20) })
    const bombs = [many, large, many, large].map((bomb) => gzipSync(bomb, { level: 1 }))
    const before = secondsOf(server.pid)
    for (const [status] of await Promise.all(bombs.map(upload))) expect(status).toBe(200)
    expect(secondsOf(server.pid) - before).toBeLessThan(1)
  })

  test('that announce more than may be unpacked are refused at once', async () => {
    const header = (await tarOf({ name: 'much', content: Buffer.alloc(512) })).subarray(0, 512)
    // 20 GiB, in GNU tar's notation
    header.fill(0, 124, 136)
    header[124] = 0x80
    header.writeBigUInt64BE(20n * 2n ** 30n, 128)
    header.fill(' ', 148, 156)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    const words = 'the archive is refused: it unpacks to more than 16384 MB'
    expect(await upload(gzipSync(header))).toEqual([400, words])
  })
})
