import type { Readable, Writable } from 'node:stream'
import type { SpecOptions } from './oci-spec.ts'

/** Identifies a machine and its folder. */
export interface MachinePaths {
  machineId: string
  /** Folder of the machine: bundle, pid file, logs. */
  dir: string
}

/** Starts, saves and ends machines. gVisor is the only implementation; a microVM can follow. */
export interface Driver {
  readonly version: string
  /**
   * Boots a machine from its image.
   * @param options.fileSystemDir files that `saveFileSystem` wrote, to be laid over the image
   * @param options.stdout standard output of the first process, as a descriptor that is inherited when the process starts
   * @returns pid of its kernel */ create(
    machine: MachinePaths,
    spec: SpecOptions,
    options?: { fileSystemDir?: string; stdout?: { readonly fd: number } },
  ): Promise<number>
  /** Starts an empty kernel, at the lowest priority. @returns its pid */
  prepare(machine: MachinePaths, spec: SpecOptions): Promise<number>
  /**
   * Starts a machine from a checkpoint, at the lowest priority unless it is urgent.
   * @param options.isPrepared `prepare` has started its kernel: the checkpoint is only read into it
   * @returns pid of its kernel
   */
  restore(
    machine: MachinePaths,
    spec: SpecOptions,
    checkpointDir: string,
    options: { isUrgent: boolean; isPrepared?: boolean },
  ): Promise<number>
  /** Stops all processes inside; memory and connections are kept. Each call needs one `thaw`. */
  freeze(machineId: string): Promise<void>
  thaw(machineId: string): Promise<void>
  /** Saves memory and writable layer. The machine continues to run, or stays frozen. */
  checkpoint(machine: MachinePaths, checkpointDir: string): Promise<void>
  /** Saves the writable layer only. The machine continues to run, or stays frozen. */
  saveFileSystem(machine: MachinePaths, fileSystemDir: string): Promise<void>
  /**
   * Boots a machine whose only process talks to `talk` over its standard streams, then ends the machine.
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
   * Saves the writable layer of a checkpoint that has it only as part of the memory: restores the machine, freezes it at
   * once, and saves the layer.
   * @param spec without a network, because restored processes run until the freeze
   */
  extractFileSystem(
    machine: MachinePaths,
    spec: SpecOptions,
    checkpointDir: string,
    fileSystemDir: string,
    signal: AbortSignal,
  ): Promise<void>
  /** Removes the driver's state of a machine without live processes. */
  forget(machineId: string): Promise<void>
  /** Lists the ids of machines that the driver has state of. */
  list(): Promise<string[]>
  /** Returns the bytes that the writable layer uses on the host's disk. */
  diskUsedBytes(pid: number): Promise<number>
}
