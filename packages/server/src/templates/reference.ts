import { SandlotError } from '@sandlot/protocol'

export const DEFAULT_TAG = 'default'

const NAME = /^[a-z0-9_-]{1,128}$/
const TAG = /^[a-z0-9_.-]{1,128}$/

/** `[namespace/]name[:tag]`, as clients write templates; a name may also be an id. */
export interface TemplateReference {
  namespace?: string
  name: string
  tag?: string
}

/** Trims and lower-cases the parts; does not check that a template of that name exists. */
export function parseReference(text: string): TemplateReference {
  const colon = text.indexOf(':')
  const path = colon < 0 ? text : text.slice(0, colon)
  const slash = path.indexOf('/')
  const clean = (part: string) => part.trim().toLowerCase()
  return {
    namespace: slash < 0 ? undefined : clean(path.slice(0, slash)),
    name: clean(path.slice(slash + 1)),
    tag: colon < 0 ? undefined : clean(text.slice(colon + 1)),
  }
}

/**
 * Like `parseReference`, for a template that will be created.
 * @param slug namespace of the team that creates the template
 * @throws SandlotError invalid_request
 */
export function parseNewReference(text: string, slug: string): TemplateReference & { tag: string } {
  const { namespace, name, tag = DEFAULT_TAG } = parseReference(text)
  if (!NAME.test(name))
    throw new SandlotError(
      'invalid_request',
      `'${name.slice(0, 200)}' is not a valid name: use 1 to 128 lower-case letters, digits, - and _`,
    )
  if (namespace !== undefined && namespace !== slug)
    throw new SandlotError(
      'invalid_request',
      `namespace '${namespace.slice(0, 200)}' is not yours: use '${slug}' or none`,
    )
  return { namespace, name, tag: checkTag(tag) }
}

/** @throws SandlotError invalid_request */
export function checkTag(tag: string): string {
  if (TAG.test(tag)) return tag
  throw new SandlotError(
    'invalid_request',
    `'${tag.slice(0, 200)}' is not a valid tag: use 1 to 128 lower-case letters, digits, -, _ and .`,
  )
}
