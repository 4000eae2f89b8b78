import type { HostFiles } from './host-files.ts'

export interface FakeHost {
  /** Content by path; folders follow from the paths. */
  files?: Record<string, string>
  links?: Record<string, string>
  devices?: Record<string, string>
  modes?: Record<string, { uid?: number; mode: number }>
}

/** Simulates a machine with only these files. */
export const hostWith = ({ files = {}, links = {}, devices = {}, modes = {} }: FakeHost): HostFiles => ({
  read: (path) => files[path],
  list: (path) => [
    ...new Set(
      Object.keys(files)
        .filter((file) => file.startsWith(`${path}/`))
        .map((file) => file.slice(path.length + 1).split('/')[0]!),
    ),
  ],
  resolve: (path) => links[path],
  deviceOf: (path) => devices[path],
  ownerAndMode: (path) => modes[path] && { uid: 0, ...modes[path] },
})
