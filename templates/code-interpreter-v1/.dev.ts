import { join } from 'node:path'
import { Template, waitForURL } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'

const SERVICE = '/opt/code-interpreter'
const PYTHON_PACKAGES = '/usr/local/lib/python3.11/dist-packages'
const UV_VERSION = '0.13.9'
const DENO_VERSION = '2.9.6'
const ZEROMQ_VERSION = '6.8.0'
const zeromq = `${SERVICE}/node_modules/zeromq`

const installPythonPackages = [
  `pip install --no-cache-dir --quiet uv==${UV_VERSION}`,
  `uv pip install --system --break-system-packages --no-cache --quiet --requirement ${SERVICE}/python/requirements.txt`,
  'pip uninstall --yes --quiet uv',
  // Found at each start of a kernel: byte code that is not there is compiled again in every sandbox.
  `python3 -m compileall -q -j 2 ${PYTHON_PACKAGES}`,
  `echo ${SERVICE}/python > ${PYTHON_PACKAGES}/code-interpreter.pth`,
]

const installNodePackages = [
  `npm install --global --no-audit --no-fund --loglevel=error --allow-scripts=deno deno@${DENO_VERSION}`,
  `npm install --prefix ${SERVICE} --no-audit --no-fund --loglevel=error --ignore-scripts zeromq@${ZEROMQ_VERSION}`,
  // Binaries of other systems, and what only compiles
  `rm -rf ${zeromq}/build/darwin ${zeromq}/build/win32 ${SERVICE}/node_modules/cmake-ts ~/.npm`,
]

export default {
  template: Template({
    fileContextPath: join(import.meta.dirname, '../../guest/code-interpreter'),
    fileIgnorePatterns: ['**/*.test.ts', '**/node_modules', '**/__pycache__', 'README.md'],
  })
    .fromBaseImage()
    .copy('python/requirements.txt', `${SERVICE}/python/requirements.txt`)
    .runCmd([...installPythonPackages, ...installNodePackages].join(' && '), { user: 'root' })
    .copy('.', SERVICE)
    .runCmd(`npm install --prefix /tmp/c --no-audit --no-fund --ignore-scripts cmake-ts@1.0.2 && mv /tmp/c/node_modules/cmake-ts ${SERVICE}/node_modules/`, { user: 'root' })
    .setStartCmd(
      // It holds nothing that could not be made anew but the contexts; those of one that died are gone anyway.
      `while true; do node ${SERVICE}/src/main.ts; sleep 1; done`,
      waitForURL('http://127.0.0.1:49999/health'),
    ),
  cpuCount: 2,
  memoryMB: 1024,
} satisfies CatalogTemplate
