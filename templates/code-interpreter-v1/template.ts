import { join } from 'node:path'
import { Template, waitForURL } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'

const SERVICE = '/opt/code-interpreter'
const PYTHON_PACKAGES = '/usr/local/lib/python3.11/dist-packages'
const JAVA = '/opt/java'
const zeromq = `${SERVICE}/node_modules/zeromq`

const systemPackages = [
  'r-base-core',
  'r-cran-irkernel',
  'fonts-noto-cjk',
  // libraries that opencv-python and Java's pictures are linked with
  'libglib2.0-0',
  'liblcms2-2',
]

const installSystemPackages = [
  'apt-get update -qq',
  // Charts need the sans-serif fonts
  `DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends -o 'Dpkg::Options::=--path-exclude=*/NotoSerif*' ${systemPackages.join(' ')}`,
  'mkdir /tmp/extracted && cd /tmp/extracted',
  'apt-get download -qq libgl1 libglx0 libglvnd0 openjdk-17-jdk-headless openjdk-17-jre-headless',
  // libGL is extracted instead of installed, because the package depends on Mesa's drivers (210 MB), and programs here
  // only link libGL without drawing on a screen
  'for package in libgl*.deb; do dpkg-deb --extract $package /; done && ldconfig',
  // A Java runtime with the compiler and shell that kernels of Java need, in a third of the size
  'for package in openjdk*.deb; do dpkg-deb --extract $package .; done',
  'ln -s $PWD/etc/java-17-openjdk /etc/',
  `usr/lib/jvm/java-17-openjdk-*/bin/jlink --add-modules ALL-MODULE-PATH --strip-java-debug-attributes --no-header-files --no-man-pages --compress=2 --output ${JAVA}`,
  `ln -s ${JAVA}/bin/* /usr/local/bin/`,
  'cd / && rm -rf /tmp/extracted /etc/java-17-openjdk',
  'fc-cache --system-only',
  'apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log',
]

const installPythonPackages = [
  `pip install --no-cache-dir --quiet --require-hashes --requirement ${LOCKED}/installer.lock`,
  `uv pip install --system --break-system-packages --no-cache --quiet --require-hashes --only-binary :all: --requirement ${LOCKED}/requirements.lock`,
  'pip uninstall --yes --quiet uv',
  `cd ${PYTHON_PACKAGES}`,
  // Removes debug symbols and tests; files that auditwheel put into *.libs must stay. gensim's documentation imports gensim's tests.
  `find . -name '*.so*' -type f -not -path '*.libs/*' -exec strip --strip-debug {} +`,
  `find . -type d '(' -name tests -o -name test ')' -not -path './gensim/*' -prune -exec rm -rf {} +`,
  // Compiles byte code, which every sandbox would otherwise do when a kernel starts. Plotly is left out (78 MB), as
  // programs use little of it.
  `python3 -m compileall -q -j 2 -x /plotly/ .`,
  `python3 -c 'import plotly.express, plotly.figure_factory; plotly.express.bar(x=[1]).to_html()'`,
  'echo "font.family: sans-serif, Noto Sans CJK JP" >> matplotlib/mpl-data/matplotlibrc',
  `echo ${SERVICE}/python > code-interpreter.pth`,
]

const installNodePackages = [
  ...installGlobally('deno', { deno: 'bin.cjs' }),
  `mkdir -p ${SERVICE}/node_modules`,
  `mv node_modules/zeromq ${zeromq}`,
  // Removes binaries for other systems
  `rm -rf ${zeromq}/build/darwin ${zeromq}/build/win32`,
  removeLocked,
]

export default {
  template: Template({
    fileContextPath: join(import.meta.dirname, '../../guest/code-interpreter'),
    fileIgnorePatterns: ['**/*.test.ts', '**/node_modules', '**/__pycache__', 'README.md'],
  })
    .fromBaseImage()
    .runCmd(installSystemPackages.join(' && '), { user: 'root' })
    .copy('npm', LOCKED, { user: 'root' })
    .copy(['python/installer.lock', 'python/requirements.lock'], `${LOCKED}/`, { user: 'root' })
    .runCmd([...installPythonPackages, ...installNodePackages].join(' && '), { user: 'root' })
    .copy('.', SERVICE)
    .setStartCmd(
      // The service has no state except its contexts, which are lost when it dies anyway.
      `while true; do node ${SERVICE}/src/main.ts; sleep 1; done`,
      waitForURL('http://127.0.0.1:49999/health'),
    ),
  cpuCount: 2,
  memoryMB: 1024,
} satisfies CatalogTemplate
