import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'

/** The newest with `gateway.controlUi.allowInsecureAuth`, which E2B's documentation sets; 2026.8 refuses the key. */
const VERSION = '2026.7.35'

export default {
  template: Template({ fileContextPath: import.meta.dirname })
    .fromBaseImage()
    .runCmd(`npm install -g --omit=dev openclaw@${VERSION} && rm -rf ~/.npm && openclaw --version`)
    // the gateway's page comes from the sandbox's own host, which no template can know: pages of the same origin are let in
    .copy('openclaw.json', '/home/user/.openclaw/', { user: 'user', mode: 0o600 }),
  memoryMB: 2048,
} satisfies CatalogTemplate
