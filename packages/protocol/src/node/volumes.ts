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

/** Volumes of this host, as a node mounts them into machines. */
export interface VolumeDirectories {
  /**
   * Makes a volume usable on this host. Each call needs a `release`; the volume stays attached for a while after the last
   * one, so that using it again costs nothing.
   * @returns `directory`: a directory of this host that is a mount with `nosuid,nodev`, to be bound into machines.
   * `unmapped`: another one with the ids that files have on disk, which hosts with a kernel before 6.15 need when the ids
   * of `directory` are mapped. Default: `directory`
   * @throws SandlotError not_found (no such volume), volume_unavailable (it cannot be mounted)
   */
  attach(volumeId: string): Promise<{ directory: string; unmapped?: string }>
  /** Gives back one `attach`. Unknown ids resolve. */
  release(volumeId: string): Promise<void>
}
