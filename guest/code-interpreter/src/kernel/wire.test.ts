import { expect, test } from 'vitest'
import { Wire } from './wire.ts'

const framesOf = (wire: Wire) =>
  wire.request('execute_request', { code: '1' }).frames.map((frame) => Buffer.from(frame))

test('a message is read by whoever has the key, behind any routing frames', () => {
  const frames = [Buffer.from('iopub.topic'), ...framesOf(new Wire('key'))]
  expect(new Wire('key').read(frames)).toMatchObject({
    header: { msg_type: 'execute_request' },
    content: { code: '1' },
  })
})

test('what is signed with another key, was changed, or is no message is not read', () => {
  const wire = new Wire('key')
  expect(new Wire('other').read(framesOf(wire))).toBeUndefined()
  const changed = framesOf(wire)
  changed[5] = Buffer.from('{"code":"2"}')
  expect(wire.read(changed)).toBeUndefined()
  expect(wire.read([Buffer.from('noise')])).toBeUndefined()
  expect(wire.read(framesOf(wire).slice(0, 3))).toBeUndefined()
})
