import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Describes how to start a kernel: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs */
export interface Kernelspec {
  name: string
  language: string
  /** `{connection_file}` and `{resource_dir}` stand for paths. */
  argv: string[]
  env: Record<string, string>
  interruptMode: 'signal' | 'message'
  /** Unix sockets outlive a pause of the sandbox without a reconnection; not every kernel can speak over them. */
  transport: 'ipc' | 'tcp'
}

/** Folders of kernelspecs: this service's own first, then those of Jupyter: https://docs.jupyter.org/en/stable/use/jupyter-directories.html */
export const kernelspecFolders = [
  join(import.meta.dirname, '../../kernels'),
  join(homedir(), '.local/share/jupyter/kernels'),
  '/usr/local/share/jupyter/kernels',
  '/usr/share/jupyter/kernels',
]

/**
 * Reads every kernelspec that is installed now. A name in an earlier folder wins; unreadable kernelspecs are left out,
 * as Jupyter does.
 */
export async function installedKernels(folders = kernelspecFolders): Promise<Map<string, Kernelspec>> {
  const found = new Map<string, Kernelspec>()
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) {
      const spec = found.has(name) ? undefined : await readKernelspec(join(folder, name), name)
      if (spec) found.set(name, spec)
    }
  }
  return found
}

async function readKernelspec(folder: string, name: string): Promise<Kernelspec | undefined> {
  try {
    const spec = JSON.parse(await readFile(join(folder, 'kernel.json'), 'utf8'))
    if (!Array.isArray(spec.argv) || spec.argv.length === 0) return undefined
    return {
      name,
      language: String(spec.language),
      argv: spec.argv.map((word: unknown) => String(word).replaceAll('{resource_dir}', folder)),
      env: spec.env ?? {},
      interruptMode: spec.interrupt_mode === 'message' ? 'message' : 'signal',
      transport: spec.metadata?.sandlot?.transport === 'ipc' ? 'ipc' : 'tcp',
    }
  } catch {
    return undefined
  }
}
