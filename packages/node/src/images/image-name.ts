import { SandlotError } from '@sandlot/protocol'

const DOCKER_HUB = 'docker.io'
const SHAPE =
  /^(?<path>[a-zA-Z0-9.-]+(?::\d{1,5})?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)(?::(?<tag>\w[\w.-]{0,127}))?(?:@(?<digest>sha256:[0-9a-f]{64}))?$/

export interface ImageName {
  /** For example `docker.io` or `127.0.0.1:5000`. */
  registry: string
  /** For example `library/ubuntu`. */
  repository: string
  /** All that a name can leave out, written: `docker.io/library/ubuntu:22.04`. */
  full: string
}

/** Reads an image's name as Docker does. @throws SandlotError invalid_request */
export function parseImageName(text: string): ImageName {
  const { path, tag, digest } = splitName(text.trim())
  const slash = path.indexOf('/')
  const first = slash < 0 ? '' : path.slice(0, slash)
  const isRegistry = first === 'localhost' || /[.:]/.test(first)
  const registry = isRegistry && first !== 'index.docker.io' ? first : DOCKER_HUB
  const rest = isRegistry ? path.slice(slash + 1) : path
  const repository = registry === DOCKER_HUB && !rest.includes('/') ? `library/${rest}` : rest
  const suffix = digest ? `@${digest}` : `:${tag ?? 'latest'}`
  return { registry, repository, full: `${registry}/${repository}${suffix}` }
}

function splitName(text: string): { path: string; tag?: string; digest?: string } {
  // `host:5000/x` has a port, `x:5000` a tag
  const slash = text.lastIndexOf('/')
  const colon = text.indexOf(':', slash + 1)
  const match = SHAPE.exec(text)
  if (!match || text.length > 512)
    throw new SandlotError(
      'invalid_request',
      `'${text.slice(0, 200)}' is not the name of an image: write [registry/]name[:tag], for example ubuntu:22.04`,
    )
  if (slash < 0 && colon >= 0) return splitAt(text, colon)
  return match.groups as { path: string; tag?: string; digest?: string }
}

function splitAt(text: string, colon: number): { path: string; tag?: string; digest?: string } {
  const [tag, digest] = text.slice(colon + 1).split('@')
  return { path: text.slice(0, colon), tag, digest }
}

/** Images of E2B's own that clients start from without knowing it. */
const OURS = new Set(['docker.io/e2bdev/base:latest', 'docker.io/e2bdev/code-interpreter:latest'])

/** Whether our base image stands for it. */
export const isBaseImage = (name: ImageName): boolean => OURS.has(name.full)
