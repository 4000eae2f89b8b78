import { Readable } from 'node:stream'
import { SandlotError } from '@sandlot/protocol'
import type { OpenVolumeFile, VolumeEntry, VolumeUploadPart } from '@sandlot/protocol/node'
import {
  deleteVolumePath,
  getVolumeUpload,
  listVolumeDirectory,
  makeVolumeDirectory,
  readVolumeFile,
  statVolumePath,
  updateVolumePath,
  writeVolumeFile,
} from '@sandlot/protocol/rest'
import type { FastifyRequest } from 'fastify'
import type { App, Handler } from '../http/app.ts'
import { UPLOAD_BODY } from '../http/deadlines.ts'
import { rangeIn } from './byte-range.ts'
import { checkVolumeToken, sendContentError, type VolumeContentRoutesOptions } from './content-access.ts'
import { pathIn } from './raw-query.ts'

const ROUTE = '/volumecontent/:volumeID'

/** The files of volumes, with the token of a volume instead of a key. */
export function volumeContentRoutes(app: App, options: VolumeContentRoutesOptions): void {
  app.setErrorHandler(sendContentError)
  app.addHook('onRequest', checkVolumeToken(options))
  app.get(`${ROUTE}/path`, { schema: statVolumePath, exposeHeadRoute: false }, stat(options))
  app.patch(`${ROUTE}/path`, { schema: updateVolumePath }, change(options))
  app.delete(`${ROUTE}/path`, { schema: deleteVolumePath }, remove(options))
  const long = { exposeHeadRoute: false, config: { answerPace: UPLOAD_BODY } }
  app.get(`${ROUTE}/dir`, { schema: listVolumeDirectory, ...long }, list(options))
  app.post(`${ROUTE}/dir`, { schema: makeVolumeDirectory }, makeDirectory(options))
  app.get(`${ROUTE}/file`, { schema: readVolumeFile, ...long }, read(options))
  app.get(`${ROUTE}/upload`, { schema: getVolumeUpload, exposeHeadRoute: false }, uploaded(options))
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    const config = { bodyPace: UPLOAD_BODY }
    ;(scope as unknown as App).put(`${ROUTE}/file`, { schema: writeVolumeFile, config }, write(options))
  })
}

const stat =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof statVolumePath> =>
  async ({ params, raw }) =>
    toAnswer(await volumes.storage.files.stat(params.volumeID, pathIn(raw.url!)))

const change =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof updateVolumePath> =>
  async ({ params, raw, body }) =>
    toAnswer(await volumes.storage.files.change(params.volumeID, pathIn(raw.url!), body))

const remove =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof deleteVolumePath> =>
  async ({ params, raw }, reply) => {
    await volumes.storage.files.remove(params.volumeID, pathIn(raw.url!))
    return reply.code(204).send(null)
  }

const list =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof listVolumeDirectory> =>
  async ({ params, query, raw }, reply) => {
    const { files } = volumes.storage
    const batches = await files.list(params.volumeID, pathIn(raw.url!), query.depth ?? 1)
    const text = Readable.from(asJson(batches), { objectMode: false })
    // a generator that has not begun is not told when its client has gone
    text.once('close', () => void batches.return(undefined))
    return reply.type('application/json; charset=utf-8').send(text as never)
  }

const makeDirectory =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof makeVolumeDirectory> =>
  async ({ params, query, raw }, reply) => {
    const { force = false, uid, gid, mode } = query
    const { files } = volumes.storage
    const attributes = { uid, gid, mode }
    const entry = await files.makeDirectory(params.volumeID, pathIn(raw.url!), attributes, force)
    return reply.code(201).send(toAnswer(entry))
  }

const read =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof readVolumeFile> =>
  async (request, reply) => {
    const { params, raw, headers } = request
    const file = await volumes.storage.files.open(params.volumeID, pathIn(raw.url!))
    const etag = etagOf(file)
    const isUnchanged = headers['if-range'] === undefined || headers['if-range'] === etag
    const range = isUnchanged ? rangeIn(headers.range, file.sizeBytes) : undefined
    reply.headers({ 'accept-ranges': 'bytes', etag, 'last-modified': new Date(file.mtimeMs).toUTCString() })
    if (range === 'outside') {
      await file.close()
      const error = new SandlotError(
        'invalid_request',
        `range '${headers.range}' is outside of the file, which has ${file.sizeBytes} bytes`,
      )
      return reply
        .code(416)
        .header('content-range', `bytes */${file.sizeBytes}`)
        .send({ code: error.errorName, message: error.message } as never)
    }
    const length = range ? range.end - range.start + 1 : file.sizeBytes
    reply.type('application/octet-stream').header('content-length', length)
    if (range) reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${file.sizeBytes}`)
    if (length === 0) {
      await file.close()
      return reply.send(Buffer.alloc(0) as never)
    }
    return reply.send(file.read(range) as never)
  }

const write =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof writeVolumeFile> =>
  async (request, reply) => {
    const { params, query, raw } = request
    const { force = false, uid, gid, mode } = query
    const { files } = volumes.storage
    const [path, content, part] = [pathIn(raw.url!), bodyOf(request), partOf(query)]
    const entry = await files.write(params.volumeID, path, content, { uid, gid, mode }, force, part)
    return reply.code(201).send(toAnswer(entry))
  }

const uploaded =
  ({ volumes }: VolumeContentRoutesOptions): Handler<typeof getVolumeUpload> =>
  async ({ params, query }) => ({
    bytes: await volumes.storage.files.uploadedBytes(params.volumeID, query.upload),
  })

/** @throws SandlotError invalid_request unless a request has all of an upload or nothing */
function partOf(query: { upload?: string; offset?: number; size?: number }): VolumeUploadPart | undefined {
  const { upload, offset, size } = query
  if (upload === undefined && offset === undefined && size === undefined) return undefined
  if (upload === undefined || offset === undefined || size === undefined)
    throw new SandlotError('invalid_request', 'upload, offset and size belong together: send all three')
  return { uploadId: upload, offset, sizeBytes: size }
}

/** A request without a body writes an empty file. */
const bodyOf = ({ body }: FastifyRequest): Readable => (body instanceof Readable ? body : Readable.from([]))

const etagOf = ({ mtimeMs, sizeBytes }: OpenVolumeFile): string =>
  `"${Math.round(mtimeMs * 1000).toString(16)}-${sizeBytes.toString(16)}"`

/** One array, without holding all of it. */
async function* asJson(batches: AsyncGenerator<VolumeEntry[]>): AsyncGenerator<string> {
  let separator = '['
  for await (const entries of batches) {
    yield separator + entries.map((entry) => JSON.stringify(toAnswer(entry))).join(',')
    separator = ','
  }
  yield separator === '[' ? '[]' : ']'
}

const toAnswer = ({ sizeBytes, atimeMs, mtimeMs, ctimeMs, ...entry }: VolumeEntry) => ({
  ...entry,
  size: sizeBytes,
  atime: new Date(atimeMs).toISOString(),
  mtime: new Date(mtimeMs).toISOString(),
  ctime: new Date(ctimeMs).toISOString(),
})
