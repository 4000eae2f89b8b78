import { randomBytes } from 'node:crypto'
import { link, open, readFile, rename, unlink } from 'node:fs/promises'
import { rootCertificates } from 'node:tls'

/** Bundles of the certificate authorities that the system trusts, on Debian, Fedora, Alpine and SUSE. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
  '/etc/ssl/ca-bundle.pem',
]

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Creates the file atomically, unless it exists.
 *
 * @returns the content of the file, written by the first of concurrent callers
 */
export async function createOnce(path: string, content: string, mode: number): Promise<string> {
  const temporary = await writeTemporary(path, content, mode)
  try {
    await link(temporary, path)
    return content
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return await readFile(path, 'utf8')
  } finally {
    await unlink(temporary)
  }
}

/** Replaces a file atomically: readers see the complete old or the complete new content. */
export async function replace(path: string, content: string, mode: number): Promise<void> {
  await rename(await writeTemporary(path, content, mode), path)
}

/** Returns the certificate authorities that this machine trusts, in PEM. */
export async function systemCertificates(): Promise<string> {
  for (const path of SYSTEM_BUNDLES) {
    const bundle = await readIfThere(path)
    if (bundle !== undefined) return bundle
  }
  return rootCertificates.join('\n')
}

async function writeTemporary(path: string, content: string, mode: number): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(temporary, 'wx', mode)
  try {
    await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  return temporary
}
