import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'

export default {
  template: Template({ fileContextPath: import.meta.dirname })
    .fromBaseImage()
    // the newest version with `gateway.controlUi.allowInsecureAuth`, which E2B's documentation sets; 2026.8 refuses the key
    .copy('npm', LOCKED)
    .runCmd(
      [...installGlobally('openclaw', { openclaw: 'openclaw.mjs' }), removeLocked, 'openclaw --version'].join(
        ' && ',
      ),
    )
    // for each module Node parses the nearest package.json anew, and OpenClaw's own has 327 exports
    .runCmd(`echo '{"type":"module"}' > "$(npm root -g)/openclaw/dist/package.json"`)
    // admits pages of the sandbox's own host, which no template can know; runs OpenAI's models without Codex' plug-in, whose
    // release for this version has left npm
    .copy('openclaw.json', '/home/user/.openclaw/', { user: 'user', mode: 0o600 }),
  memoryMB: 2048,
} satisfies CatalogTemplate
