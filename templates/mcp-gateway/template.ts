import { join } from 'node:path'
import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { LOCKED } from '../locked-packages.ts'
import { bundleGateway } from './bundle.ts'

const PROGRAM = '/usr/local/lib/mcp-gateway/mcp-gateway.mjs'

export default {
  template: Template({
    fileContextPath: join(import.meta.dirname, '../../guest'),
    fileIgnorePatterns: ['**/node_modules'],
  })
    .fromBaseImage()
    // servers from PyPI are installed by uv
    .copy('code-interpreter/python/installer.lock', `${LOCKED}/`, { user: 'root' })
    .runCmd(
      `pip install --no-cache-dir --quiet --require-hashes --requirement ${LOCKED}/installer.lock && rm -rf ${LOCKED}`,
      { user: 'root' },
    )
    .copy(await bundleGateway(), PROGRAM, { user: 'root', mode: 0o755 })
    .runCmd(`ln -sf ${PROGRAM} /usr/local/bin/mcp-gateway && mcp-gateway list > /dev/null`, { user: 'root' }),
  cpuCount: 2,
  memoryMB: 2048,
} satisfies CatalogTemplate
