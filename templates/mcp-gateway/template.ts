import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Template } from 'e2b'
import { keysOfNpmSet } from '../../guest/mcp-gateway/src/install/locks.ts'
import type { CatalogTemplate } from '../catalog-template.ts'
import { LOCKED, repositoryRoot } from '../locked-packages.ts'
import { addGateway, repositoryContext } from './add-gateway.ts'

/** Servers that are installed by hash. */
const locks = join(repositoryRoot, 'guest/mcp-gateway/locks')
const catalogue = JSON.parse(readFileSync(join(locks, '../catalogue/catalogue.json'), 'utf8'))
const servers = [
  ...keysOfNpmSet(catalogue, locks),
  ...readdirSync(join(locks, 'pypi')).map((file) => file.replace('.lock', '')),
].sort()

const withUv = Template(repositoryContext)
  .fromBaseImage()
  // servers from PyPI are installed by uv
  .copy('guest/code-interpreter/python/installer.lock', `${LOCKED}/`, { user: 'root' })
  .runCmd(
    `pip install --no-cache-dir --quiet --require-hashes --requirement ${LOCKED}/installer.lock && rm -rf ${LOCKED}`,
    { user: 'root' },
  )

export default {
  template: addGateway(withUv).runCmd(`mcp-gateway pull ${servers.join(' ')}`, { user: 'root' }),
  cpuCount: 2,
  memoryMB: 2048,
} satisfies CatalogTemplate
