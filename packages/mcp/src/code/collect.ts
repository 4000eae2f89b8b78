import { HeadAndTail } from '../output/capture.ts'
import { clipEnd } from '../output/clip.ts'
import { isPicture } from '../output/picture.ts'
import type { Picture } from '../tools/tool.ts'
import type { CodeEvent } from './interpreter.ts'

const MAX_RESULTS = 20
const MAX_FORMAT_CHARS = 8_000
const MAX_PICTURES = 5
/** Base64 characters of all pictures; models refuse pictures of more than about 5 MB. */
const MAX_PICTURE_CHARS = 4 * 1024 * 1024

/** Formats of a result that are text. */
const TEXTS = ['text', 'html', 'markdown', 'latex', 'javascript', 'svg'] as const
const VALUES = ['json', 'data', 'chart'] as const
const PICTURES = { png: 'image/png', jpeg: 'image/jpeg' } as const

export type CodeResult = Partial<Record<(typeof TEXTS)[number] | (typeof VALUES)[number], unknown>> & {
  /** Number of the picture of this result among the pictures of the answer, from 1. */
  picture?: number
  is_main?: boolean
}

/** Collects the output of an execution in bounded memory. */
export class CodeOutput {
  readonly pictures: Picture[] = []
  readonly results: CodeResult[] = []
  readonly stdout: HeadAndTail
  readonly stderr: HeadAndTail
  error: { name: string; value: string; traceback: string } | undefined
  /** What was left out, for the model. */
  readonly notes: string[] = []
  #pictureChars = 0
  #leftOutResults = 0
  readonly #shownBytes: number

  constructor(shownBytes: number) {
    this.#shownBytes = shownBytes
    this.stdout = new HeadAndTail(shownBytes)
    this.stderr = new HeadAndTail(shownBytes)
  }

  add(event: CodeEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr')
      this[event.type].add(new TextEncoder().encode(String(event.text)))
    if (event.type === 'result') this.#addResult(event)
    if (event.type === 'error')
      this.error = {
        name: String(event.name).slice(0, 200),
        value: clipEnd(String(event.value), MAX_FORMAT_CHARS).text,
        traceback: this.#endOf(String(event.traceback)),
      }
  }

  text(from: 'stdout' | 'stderr'): string {
    return this[from].text(
      (bytes) =>
        `[… ${bytes} bytes were left out: write such output to a file, and read parts with read_file …]`,
    )
  }

  #addResult(event: Record<string, unknown>): void {
    if (this.results.length >= MAX_RESULTS) {
      if (this.#leftOutResults++ === 0) this.notes.push(`only the first ${MAX_RESULTS} results are shown`)
      return
    }
    const result: CodeResult = event.is_main_result === true ? { is_main: true } : {}
    for (const format of TEXTS)
      if (typeof event[format] === 'string') result[format] = clipEnd(event[format], MAX_FORMAT_CHARS).text
    for (const format of VALUES) {
      if (event[format] === undefined) continue
      const json = JSON.stringify(event[format])
      if (json.length <= MAX_FORMAT_CHARS) result[format] = event[format]
      else this.notes.push(`${format} of a result was left out: it has ${json.length} characters`)
    }
    for (const [format, mimeType] of Object.entries(PICTURES))
      if (typeof event[format] === 'string' && result.picture === undefined) {
        const number = this.#addPicture({ data: event[format].replace(/\s/g, ''), mimeType })
        if (number !== undefined) result.picture = number
      }
    this.results.push(result)
  }

  #addPicture(picture: Picture): number | undefined {
    if (
      this.pictures.length >= MAX_PICTURES ||
      this.#pictureChars + picture.data.length > MAX_PICTURE_CHARS
    ) {
      this.notes.push(
        'a picture was left out, as there are too many or they are too large: save it to a file and use view_image',
      )
      return undefined
    }
    if (!isPicture(picture.data, picture.mimeType)) {
      this.notes.push(`a picture was left out: its data is not ${picture.mimeType} in base64`)
      return undefined
    }
    this.#pictureChars += picture.data.length
    return this.pictures.push(picture)
  }

  /** The end of a traceback says what happened. */
  #endOf(traceback: string): string {
    const capture = new HeadAndTail(this.#shownBytes)
    capture.add(new TextEncoder().encode(traceback))
    return capture.text((bytes) => `[… ${bytes} bytes …]`)
  }
}
