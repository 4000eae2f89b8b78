/**
 * Hides users and passwords in front of hosts, for messages that repeat what somebody entered. Everything up to the last `@`
 * of a word may belong to a password.
 *
 * @example
 * withoutCredentials('https://me:secret@minio.example.com') // https://…@minio.example.com
 */
export const withoutCredentials = (text: string): string =>
  text.replace(/(^|[\s"',])((?:[a-z][a-z0-9+.-]*:)?\/\/)?[^\s"',]*:[^\s"',]*@/gi, '$1$2…@')
