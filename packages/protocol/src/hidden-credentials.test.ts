import { expect, test } from 'vitest'
import { withoutCredentials } from './hidden-credentials.ts'

test.each([
  ['https://me:secret@minio:9000/x', 'https://…@minio:9000/x'],
  ['https://me:se@cr/et@minio', 'https://…@minio'],
  ['me:secret@registry.example.com/image:1', '…@registry.example.com/image:1'],
  ['a.example.com,me:secret@b.example.com', 'a.example.com,…@b.example.com'],
  ['["http://me:secret@a"]', '["http://…@a"]'],
  ['https://minio:9000/x', 'https://minio:9000/x'],
  ['ubuntu:22.04', 'ubuntu:22.04'],
  ['me@example.com', 'me@example.com'],
])('%s is shown as %s', (text, shown) => {
  expect(withoutCredentials(text)).toBe(shown)
})
