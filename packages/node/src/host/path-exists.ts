import { stat } from 'node:fs/promises'

/** Links are followed. */
export const pathExists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
