import { SandlotError } from '@sandlot/protocol'

/** Limit of answers of an image's machine, without the image itself. */
export const MAX_ANSWER_BYTES = 64 * 1024
const MAX_DETAIL = 300
const MAX_VARIABLES = 1000
export const DIGEST = /^sha256:[0-9a-f]{64}$/

/** Why an image could not be made: the kind decides the message; the detail comes from guest/imager. */
export interface ImageFailure {
  kind: string
  detail: string
}

export interface ResolvedImage {
  /** Of the manifest. */
  digest: string
  /** `NAME=value` lines. */
  env: string[]
  layerCount: number
  sizeBytes: number
}

export interface FinishedImage {
  sizeBytes: number
  /** Number of devices, pipes and other special files that were left out. */
  skipped: number
}

type Answer = Record<string, unknown>

/** @throws ImageRefusal, SandlotError */
export function readResolved(answer: unknown): ResolvedImage {
  const { digest, env, layerCount, sizeBytes } = readAnswer(answer)
  const lines = env ?? []
  if (
    typeof digest !== 'string' ||
    !DIGEST.test(digest) ||
    !Array.isArray(lines) ||
    lines.length > MAX_VARIABLES ||
    !lines.every((line) => typeof line === 'string') ||
    !isCount(layerCount) ||
    !isCount(sizeBytes)
  )
    throw invalid()
  return { digest, env: lines as string[], layerCount, sizeBytes }
}

/** @throws ImageRefusal, SandlotError */
export function readFinished(answer: unknown): FinishedImage {
  const { sizeBytes, skipped } = readAnswer(answer)
  if (!isCount(sizeBytes) || !isCount(skipped)) throw invalid()
  return { sizeBytes, skipped }
}

/** Error for an image that guest/imager could not make. */
export class ImageRefusal extends Error {
  readonly failure: ImageFailure

  constructor(failure: ImageFailure) {
    super(`${failure.kind}: ${failure.detail}`)
    this.name = 'ImageRefusal'
    this.failure = failure
  }
}

function readAnswer(answer: unknown): Answer {
  if (typeof answer !== 'object' || answer === null) throw invalid()
  const { failure } = answer as Answer
  if (typeof failure === 'object' && failure !== null) {
    const { kind, detail } = failure as Answer
    throw new ImageRefusal({ kind: plain(kind), detail: plain(detail) })
  }
  return answer as Answer
}

/** Reduces a value to one line of printable text. */
const plain = (text: unknown): string =>
  typeof text === 'string' ? text.slice(0, MAX_DETAIL).replaceAll(/[^\x20-\x7e]/g, '?') : ''

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const invalid = (): SandlotError =>
  new SandlotError('sandbox_unreachable', 'the machine that makes the image gave an invalid answer')
