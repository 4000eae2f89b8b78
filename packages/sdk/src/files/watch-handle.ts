import type { EventStream } from '../envd/event-stream.ts'
import { EventType, type WatchDirResponse } from '../gen/filesystem/filesystem_pb.js'
import { type EntryInfo, toEntryInfo } from './entry.ts'

/** Kind of change of a file or directory. */
export const FilesystemEventType = {
  CHMOD: 'chmod',
  CREATE: 'create',
  REMOVE: 'remove',
  RENAME: 'rename',
  WRITE: 'write',
} as const
export type FilesystemEventType = (typeof FilesystemEventType)[keyof typeof FilesystemEventType]
export declare namespace FilesystemEventType {
  type CHMOD = 'chmod'
  type CREATE = 'create'
  type REMOVE = 'remove'
  type RENAME = 'rename'
  type WRITE = 'write'
}

/** One change below a watched directory. */
export interface FilesystemEvent {
  /** Path relative to the watched directory. */
  name: string
  type: FilesystemEventType
  /** Set only with `includeEntry: true`, and only if the entry still exists at that path. */
  entry?: EntryInfo
}

const typeNames: Partial<Record<EventType, FilesystemEventType>> = {
  [EventType.CHMOD]: FilesystemEventType.CHMOD,
  [EventType.CREATE]: FilesystemEventType.CREATE,
  [EventType.REMOVE]: FilesystemEventType.REMOVE,
  [EventType.RENAME]: FilesystemEventType.RENAME,
  [EventType.WRITE]: FilesystemEventType.WRITE,
}

/** An active watch. */
export class WatchHandle {
  private readonly stream: EventStream<WatchDirResponse>

  /** @internal */
  constructor(
    stream: EventStream<WatchDirResponse>,
    onEvent: (event: FilesystemEvent) => void | Promise<void>,
    onExit?: (error?: Error) => void | Promise<void>,
  ) {
    if (stream.first.event.case !== 'start') {
      stream.close()
      throw new Error('Expected start event')
    }
    this.stream = stream
    this.passOn(onEvent).then(
      () => onExit?.(),
      (error: unknown) => {
        stream.close()
        return onExit?.(error as Error)
      },
    )
  }

  /** Stops watching. */
  async stop(): Promise<void> {
    this.stream.close()
  }

  private async passOn(onEvent: (event: FilesystemEvent) => void | Promise<void>): Promise<void> {
    for await (const { event } of this.stream.rest) {
      if (event.case !== 'filesystem') continue
      const { name, type: wireType, entry } = event.value
      const type = typeNames[wireType]
      if (type) await onEvent({ name, type, ...(entry && { entry: toEntryInfo(entry) }) })
    }
  }
}
