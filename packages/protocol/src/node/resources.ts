/** Resources of a build: fixed when it was built. */
export interface BuildResources {
  cpuCount: number
  memoryMB: number
  diskSizeMB: number
}
