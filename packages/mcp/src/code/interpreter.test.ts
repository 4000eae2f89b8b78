import { expect, test } from 'vitest'
import { linesOf, parseEvent } from './interpreter.ts'

const streamOf = (...chunks: Uint8Array[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
const bytes = (text: string) => new TextEncoder().encode(text)

async function all(...chunks: Uint8Array[]): Promise<string[]> {
  const lines: string[] = []
  for await (const line of linesOf(streamOf(...chunks))) lines.push(line)
  return lines
}

test('lines are whole however the stream is divided', async () => {
  const euro = bytes('€')
  expect(
    await all(bytes('{"a":1}\n{"b"'), bytes(':'), euro.slice(0, 1), euro.slice(1), bytes('}\n\n')),
  ).toEqual(['{"a":1}', '{"b":€}'])
  expect(await all(bytes('last'))).toEqual(['last'])
})

test('a line without an end is given up at 6 MiB', async () => {
  const mebibyte = bytes('x'.repeat(1024 * 1024))
  await expect(all(...Array.from({ length: 9 }, () => mebibyte))).rejects.toThrow('larger than 6 MiB')
})

test.each(['null', '7', '[]', '{', '<html>'])('%s is no event of an interpreter', (line) => {
  expect(() => parseEvent(line)).toThrow('no event')
})
