import { SandlotError, withoutCredentials } from '@sandlot/protocol'

const DOCKER_HUB = 'docker.io'
const HOST = /^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d{1,5})?$/
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^sha256:[0-9a-f]{64}$/
const MAX_LENGTH = 512

export interface ImageName {
  /** For example `docker.io` or `127.0.0.1:5000`. */
  registry: string
  /** For example `library/ubuntu`. */
  repository: string
  /** The name with defaults filled in: `docker.io/library/ubuntu:22.04`. */
  full: string
}

/** Parses an image name like Docker. @throws SandlotError invalid_request */
export function parseImageName(text: string): ImageName {
  const parsed = text.length <= MAX_LENGTH ? split(text.trim()) : undefined
  if (parsed) return parsed
  throw new SandlotError(
    'invalid_request',
    `'${withoutCredentials(text).slice(0, 200)}' is not the name of an image: write [registry/]name[:tag], for example ubuntu:22.04`,
  )
}

function split(text: string): ImageName | undefined {
  const [named = '', digest, more] = text.split('@')
  if (more !== undefined || (digest !== undefined && !DIGEST.test(digest))) return undefined
  const components = named.split('/')
  // a colon in the last component begins a tag, in the first one a port
  const [last = '', tag = 'latest', rest] = components.pop()!.split(':')
  if (rest !== undefined || !TAG.test(tag)) return undefined
  components.push(last)
  const first = components[0]!
  const hasRegistry = components.length > 1 && (first === 'localhost' || /[.:]/.test(first))
  if (hasRegistry) components.shift()
  if (hasRegistry && !HOST.test(first)) return undefined
  if (!components.every((component) => COMPONENT.test(component))) return undefined
  const registry = hasRegistry && first !== 'index.docker.io' ? first : DOCKER_HUB
  if (registry === DOCKER_HUB && components.length === 1) components.unshift('library')
  const repository = components.join('/')
  return { registry, repository, full: `${registry}/${repository}${digest ? `@${digest}` : `:${tag}`}` }
}

/** E2B's images, which clients use by default. */
const OURS = new Set(['docker.io/e2bdev/base:latest', 'docker.io/e2bdev/code-interpreter:latest'])

/** Whether Sandlot's base image is used instead of this image. */
export const isBaseImage = (name: ImageName): boolean => OURS.has(name.full)
