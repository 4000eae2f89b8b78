import { join } from 'node:path'
import { Template, waitForURL } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'

const SERVICE = '/opt/code-interpreter'
const PYTHON_PACKAGES = '/usr/local/lib/python3.11/dist-packages'
const zeromq = `${SERVICE}/node_modules/zeromq`

const installPythonPackages = [
  `pip install --no-cache-dir --quiet --require-hashes --requirement ${LOCKED}/installer.lock`,
  `uv pip install --system --break-system-packages --no-cache --quiet --require-hashes --only-binary :all: --requirement ${LOCKED}/requirements.lock`,
  'pip uninstall --yes --quiet uv',
  // Found at each start of a kernel: byte code that is not there is compiled again in every sandbox.
  `python3 -m compileall -q -j 2 ${PYTHON_PACKAGES}`,
  `echo ${SERVICE}/python > ${PYTHON_PACKAGES}/code-interpreter.pth`,
]

const installNodePackages = [
  ...installGlobally('deno', { deno: 'bin.cjs' }),
  `mkdir -p ${SERVICE}/node_modules`,
  `mv node_modules/zeromq ${zeromq}`,
  // Binaries of other systems
  `rm -rf ${zeromq}/build/darwin ${zeromq}/build/win32`,
  removeLocked,
]

export default {
  template: Template({
    fileContextPath: join(import.meta.dirname, '../../guest/code-interpreter'),
    fileIgnorePatterns: ['**/*.test.ts', '**/node_modules', '**/__pycache__', 'README.md'],
  })
    .fromBaseImage()
    .copy('npm', LOCKED, { user: 'root' })
    .copy(['python/installer.lock', 'python/requirements.lock'], `${LOCKED}/`, { user: 'root' })
    .runCmd([...installPythonPackages, ...installNodePackages].join(' && '), { user: 'root' })
    .copy('.', SERVICE)
    .setStartCmd(
      // It holds nothing that could not be made anew but the contexts; those of one that died are gone anyway.
      `while true; do node ${SERVICE}/src/main.ts; sleep 1; done`,
      waitForURL('http://127.0.0.1:49999/health'),
    ),
  cpuCount: 2,
  memoryMB: 1024,
} satisfies CatalogTemplate
