import { stat } from 'node:fs/promises'

/** Whether a path exists; symbolic links are followed. */
export const pathExists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
