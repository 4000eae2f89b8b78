/** How files of each kind begin, in base64. */
const BEGINNINGS: Record<string, RegExp> = {
  'image/png': /^iVBORw0KGgo/,
  'image/jpeg': /^\/9j\//,
  'image/gif': /^R0lGODdh|^R0lGODlh/,
  'image/webp': /^UklGR/,
}

/**
 * Returns whether a text is base64 of a picture, as far as the beginning tells. Others must not be shown: clients refuse the whole
 * answer, and models each later message of the conversation.
 */
export const isPicture = (base64: string, mimeType: string): boolean =>
  (BEGINNINGS[mimeType]?.test(base64) ?? false) &&
  base64.length % 4 === 0 &&
  /^[A-Za-z0-9+/]*={0,2}$/.test(base64)
