import { expect, test } from 'vitest'
import { Wire } from './wire.ts'

const framesOf = (wire: Wire) =>
  wire.request('execute_request', { code: '1' }).frames.map((frame) => Buffer.from(frame))

test('a message is read with the key, after any routing frames', () => {
  const frames = [Buffer.from('iopub.topic'), ...framesOf(new Wire('key'))]
  expect(new Wire('key').read(frames)).toMatchObject({
    header: { msg_type: 'execute_request' },
    content: { code: '1' },
  })
})

test('frames with another key, a change, or an invalid message are not read', () => {
  const wire = new Wire('key')
  expect(new Wire('other').read(framesOf(wire))).toBeUndefined()
  const changed = framesOf(wire)
  changed[5] = Buffer.from('{"code":"2"}')
  expect(wire.read(changed)).toBeUndefined()
  expect(wire.read([Buffer.from('noise')])).toBeUndefined()
  expect(wire.read(framesOf(wire).slice(0, 3))).toBeUndefined()
})
