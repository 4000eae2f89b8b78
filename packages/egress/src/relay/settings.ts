import { MAX_HEADER_BYTES } from '../http/message.ts'
import { ConnectionError, ErrorCode, FrameType, frame } from './frames.ts'
import { TABLE_BYTES } from './hpack.ts'

export const MAX_STREAMS = 100
/** Six bytes each; there are ten. */
export const MAX_SETTINGS_BYTES = 6 * 32

export const Setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const

/** Values by identifier, in the order of their last mention. */
export type Settings = Map<number, number>

/** @throws ConnectionError */
export function readSettings(payload: Buffer): Settings {
  if (payload.length % 6 !== 0)
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'the settings end in the middle of one')
  const settings: Settings = new Map()
  for (let at = 0; at < payload.length; at += 6)
    settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
  return settings
}

/**
 * Returns what the server is told of a client's settings: what bounds the answers. The proxy follows the table of headers,
 * which must not grow for that, and there is no push.
 * @param isFirst the frame opens the connection
 */
export function settingsForServer(settings: Settings, isFirst: boolean): Buffer {
  const passed = pick(settings, [Setting.INITIAL_WINDOW_SIZE, Setting.MAX_FRAME_SIZE])
  const tableBytes = settings.get(Setting.HEADER_TABLE_SIZE)
  if (tableBytes !== undefined) passed.set(Setting.HEADER_TABLE_SIZE, Math.min(tableBytes, TABLE_BYTES))
  limit(passed, settings, Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES, isFirst)
  if (isFirst) passed.set(Setting.ENABLE_PUSH, 0)
  return settingsFrame(passed)
}

/**
 * Returns what the client is told of a server's settings: what bounds the requests. Extended CONNECT (RFC 8441) is left out,
 * so that WebSocket clients connect in HTTP/1.1.
 */
export function settingsForClient(settings: Settings, isFirst: boolean): Buffer {
  const passed = pick(settings, [Setting.INITIAL_WINDOW_SIZE, Setting.MAX_FRAME_SIZE])
  limit(passed, settings, Setting.MAX_CONCURRENT_STREAMS, MAX_STREAMS, isFirst)
  limit(passed, settings, Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES, isFirst)
  return settingsFrame(passed)
}

function pick(settings: Settings, names: number[]): Settings {
  return new Map([...settings].filter(([name]) => names.includes(name)))
}

function limit(passed: Settings, settings: Settings, name: number, most: number, isAlways: boolean): void {
  const value = settings.get(name)
  if (value !== undefined || isAlways) passed.set(name, Math.min(value ?? most, most))
}

function settingsFrame(settings: Settings): Buffer {
  const payload = Buffer.alloc(settings.size * 6)
  let at = 0
  for (const [name, value] of settings) {
    payload.writeUInt16BE(name, at)
    payload.writeUInt32BE(value, at + 2)
    at += 6
  }
  return frame(FrameType.SETTINGS, 0, 0, payload)
}
