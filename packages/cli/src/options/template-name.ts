import { InvalidArgumentError } from 'commander'

// 128 characters, an optional tag behind a colon (wire spec 2.4).
const NAME = /^[a-z0-9][a-z0-9-_]*(\/[a-z0-9-_]+)?(:[a-z0-9-_.]+)?$/

/** Converts names to lower case, so that `My-App` and `my-app` are one template. */
export function parseTemplateName(text: string): string {
  const name = text.trim().toLowerCase()
  if (!NAME.test(name) || name.length > 128) {
    throw new InvalidArgumentError(
      `'${text}' is not a template name: use lower-case letters, digits, dashes and underscores, at most 128.`,
    )
  }
  return name
}
