import type { Readable, Writable } from 'node:stream'
import type { SpecOptions } from './oci-spec.ts'

/** Where a machine lives on disk and in the host's namespaces. */
export interface MachinePaths {
  machineId: string
  /** Folder of its own: bundle, pid file, logs. */
  dir: string
}

/** What starts, saves and ends machines. gVisor is the first; a microVM can follow. */
export interface Driver {
  readonly version: string
  /**
   * Boots a machine from its image.
   * @param options.fileSystemDir what `saveFileSystem` wrote: laid over the image
   * @param options.stdout of its first process; its descriptor is read when that starts
   * @returns pid of its kernel
   */
  create(
    machine: MachinePaths,
    spec: SpecOptions,
    options?: { fileSystemDir?: string; stdout?: { readonly fd: number } },
  ): Promise<number>
  /** Starts a kernel with nothing in it, behind everything else. @returns its pid */
  prepare(machine: MachinePaths, spec: SpecOptions): Promise<number>
  /**
   * Starts a machine from a checkpoint, behind everything else unless someone waits.
   * @param options.isPrepared its kernel is there: only the checkpoint is read into it. @returns pid of its kernel
   */
  restore(
    machine: MachinePaths,
    spec: SpecOptions,
    checkpointDir: string,
    options: { isUrgent: boolean; isPrepared?: boolean },
  ): Promise<number>
  /** Stops everything inside; memory and connections stay. Each needs one `thaw`. */
  freeze(machineId: string): Promise<void>
  thaw(machineId: string): Promise<void>
  /** Saves memory and writable layer. The machine goes on, or stays frozen. */
  checkpoint(machine: MachinePaths, checkpointDir: string): Promise<void>
  /** Saves the writable layer only. The machine goes on, or stays frozen. */
  saveFileSystem(machine: MachinePaths, fileSystemDir: string): Promise<void>
  /**
   * Boots a machine whose only process talks to `talk` over its standard streams, and ends it.
   * @throws what `talk` throws, the signal's reason, SandlotError when the machine does not start
   */
  converse<T>(
    machine: MachinePaths,
    spec: SpecOptions,
    fileSystemDir: string,
    talk: (stdin: Writable, stdout: Readable) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>
  /**
   * Saves the writable layer that a checkpoint has in its memory: the machine is restored, frozen at once and saved.
   * @param spec without a network: what is restored runs until it is frozen
   */
  extractFileSystem(
    machine: MachinePaths,
    spec: SpecOptions,
    checkpointDir: string,
    fileSystemDir: string,
    signal: AbortSignal,
  ): Promise<void>
  /** Removes what the driver itself keeps of a machine whose processes are dead. */
  forget(machineId: string): Promise<void>
  /** Ids of machines that the driver still keeps something of. */
  list(): Promise<string[]>
  /** Bytes that the writable layer takes on the host's disk. */
  diskUsedBytes(pid: number): Promise<number>
}
