import { expect, test } from 'vitest'
import { isPicture } from './picture.ts'

const base64 = (bytes: string) => Buffer.from(bytes, 'latin1').toString('base64')

test.each([
  [base64('\x89PNG\r\n\x1a\n....'), 'image/png', true],
  [base64('\xff\xd8\xff\xe0'), 'image/jpeg', true],
  [base64('GIF89a'), 'image/gif', true],
  [base64('RIFF....WEBP'), 'image/webp', true],
  [base64('GIF89a'), 'image/png', false],
  ['', 'image/png', false],
  [base64('<html>'), 'image/png', false],
  [`${base64('\x89PNG\r\n\x1a\n....')}*`, 'image/png', false],
  [base64('\x89PNG\r\n\x1a\n....').slice(0, -1), 'image/png', false],
])('%j as %s: %s', (text, mimeType, is) => {
  expect(isPicture(text, mimeType)).toBe(is)
})
