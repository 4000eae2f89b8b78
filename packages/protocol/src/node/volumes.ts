/**
 * Owner on the disk of files that belong to root in sandboxes; user n of a sandbox is this plus n. Not 0, so that a
 * program that a sandbox made setuid never runs as root of the host. Fixed forever: another number would turn the owners
 * of all files of existing volumes into strangers.
 */
export const FIRST_VOLUME_ID = 100_000
/** Number of users, and of groups, that files of volumes can belong to. */
export const VOLUME_IDS = 65_536

/** A volume in the file system of a sandbox. */
export interface VolumeMount {
  volumeId: string
  /** Name of the volume when it was mounted, for answers and messages. */
  name: string
  /** Absolute path in the sandbox, without `.` and `..` components. */
  path: string
  /** Default false. */
  isReadOnly?: boolean
}

/** Where an attached volume is on this host. */
export interface AttachedDirectories {
  /** A mount with `nosuid,nodev`, to be bound into machines. */
  directory: string
  /**
   * Another one with the ids that files have on disk, which hosts with a kernel before 6.15 need when the ids of
   * `directory` are mapped. Default: `directory`
   */
  unmapped?: string
  /** Files have the ids that sandboxes see on the disk, too: the file system cannot map ids. Default false */
  hasPlainIds?: boolean
}

/** Volumes of this host, as a node mounts them into machines. */
export interface VolumeDirectories {
  /**
   * Makes a volume usable on this host. Each call needs a `release`; the volume stays attached for a while after the last
   * one, so that using it again costs nothing.
   * @throws SandlotError not_found (no such volume), volume_unavailable (it cannot be mounted)
   */
  attach(volumeId: string): Promise<AttachedDirectories>
  /** Gives back one `attach`. Unknown ids resolve. */
  release(volumeId: string): Promise<void>
}

/** How large a new volume is, and what it holds. */
export interface NewVolume {
  /** Size of its file system; not in force where the folder of volumes is a network file system. */
  sizeBytes: number
  /** Volume whose files are copied, as they are at one moment. Default: the volume is empty. */
  from?: string
}

/** What a volume takes of the disk. */
export interface VolumeUsage {
  /** Absent: the file system does not tell. */
  usedBytes?: number
  /** Whether writes beyond the size of the volume fail. False: it is a folder of a larger file system. */
  isSizeLimited: boolean
}

/**
 * Keeps the volumes of a host: where they are, not whose they are. Every method may be repeated after a crash in the middle
 * of it.
 */
export interface VolumeStorage extends VolumeDirectories {
  /** @returns how the files of `from` were copied @throws SandlotError disk_full, not_found (`from`), volume_unavailable */
  create(volumeId: string, volume: NewVolume): Promise<{ copied?: 'reflink' | 'copy' }>
  /**
   * Enlarges a volume, also while it is mounted.
   * @throws SandlotError not_found, disk_full, volume_unavailable, conflict (it is in use, and Linux does not let this process
   * enlarge a file system that is mounted)
   */
  grow(volumeId: string, sizeBytes: number): Promise<void>
  /** Puts a volume away, so that it cannot be attached. Volumes in the trash resolve. @throws SandlotError not_found */
  trash(volumeId: string): Promise<void>
  /** Takes a volume out of the trash. Live volumes resolve. @throws SandlotError not_found */
  restore(volumeId: string): Promise<void>
  /** Deletes a volume for good, wherever it is; its files are removed in the background. Unknown ids resolve. */
  remove(volumeId: string): Promise<void>
  /** @throws SandlotError not_found */
  usage(volumeId: string): Promise<VolumeUsage>
  /** Access to the files of a volume, without a sandbox. */
  files: VolumeFiles
}

export type VolumeEntryType = 'file' | 'directory' | 'symlink' | 'unknown'

/** An entry of a volume. Ids and mode are as a sandbox sees them. */
export interface VolumeEntry {
  name: string
  type: VolumeEntryType
  /** Absolute path in the volume. */
  path: string
  /** Base64 of the bytes of `path`, when these are not UTF-8; bytes that are not are replaced in `path`. */
  pathBytes?: string
  sizeBytes: number
  mode: number
  uid: number
  gid: number
  atimeMs: number
  mtimeMs: number
  ctimeMs: number
  /** Target of a symbolic link. */
  target?: string
}

/** Owner and permissions; absent values stay as they are, or are 0, 0 and 0644 (directories: 0755) for a new entry. */
export interface VolumeAttributes {
  uid?: number
  gid?: number
  mode?: number
}

export interface VolumeRange {
  /** First byte. */
  start: number
  /** Last byte, which is included. */
  end: number
}

/** An open file. The caller reads it with `read`, or closes it. */
export interface OpenVolumeFile {
  sizeBytes: number
  mtimeMs: number
  /** Reads a part of the file, to its end unless `range` says otherwise, and closes it. */
  read(range?: VolumeRange): NodeJS.ReadableStream
  close(): Promise<void>
}

/**
 * Reads and changes the files of volumes. Paths are bytes, and never lead out of the volume: links are resolved inside it.
 * All methods throw SandlotError not_found (no volume, or no such path), invalid_request, conflict and disk_full.
 */
export interface VolumeFiles {
  /** Describes an entry; a symbolic link is described itself. */
  stat(volumeId: string, path: Buffer): Promise<VolumeEntry>
  change(volumeId: string, path: Buffer, attributes: VolumeAttributes): Promise<VolumeEntry>
  /** Removes an entry with everything below it. The entry is gone at once, its blocks a little later. */
  remove(volumeId: string, path: Buffer): Promise<void>
  /** Lists directories down to `depth` levels, in no order. The caller reads all batches, or ends the iteration. */
  list(volumeId: string, path: Buffer, depth: number): Promise<AsyncGenerator<VolumeEntry[]>>
  /** @param force creates missing parents, and accepts an existing directory */
  makeDirectory(
    volumeId: string,
    path: Buffer,
    attributes: VolumeAttributes,
    force: boolean,
  ): Promise<VolumeEntry>
  open(volumeId: string, path: Buffer): Promise<OpenVolumeFile>
  /**
   * Writes a file, which appears when it is complete. `content` is read to its end.
   * @param force replaces an existing file, and creates missing parents
   */
  write(
    volumeId: string,
    path: Buffer,
    content: NodeJS.ReadableStream,
    attributes: VolumeAttributes,
    force: boolean,
  ): Promise<VolumeEntry>
}
