import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { internet } from '../internet/injected.ts'

const run = promisify(execFile)
const RULE = [{ transform: { headers: { 'x-intercepted': 'yes' } } }]
/** Real registries, which the internet's name server leads to, so that the real programs fetch real packages. */
const REGISTRIES = ['pypi.org', 'files.pythonhosted.org', 'registry.npmjs.org', 'registry.yarnpkg.com']
/** All by which envd or the profile of images make programs trust authorities. */
const AUTHORITY_VARIABLES = [
  ...['NODE_EXTRA_CA_CERTS', 'DENO_CERT', 'SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'GIT_SSL_CAINFO'],
  ...['CURL_CA_BUNDLE', 'PIP_CERT', 'AWS_CA_BUNDLE', 'CARGO_HTTP_CAINFO'],
]
const SETUP_TIMEOUT_MS = 120_000

let sandbox: Sandbox
beforeAll(async () => {
  await makeRepository()
  sandbox = await Sandbox.create({
    timeoutMs: 600_000,
    network: {
      denyOut: ['0.0.0.0/0'],
      allowOut: ['allowed.test', ...REGISTRIES],
      rules: Object.fromEntries(['allowed.test', ...REGISTRIES].map((name) => [name, RULE])),
    },
  })
  await sandbox.commands.run(
    'python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -q requests httpx aiohttp && cd /tmp && npm install --silent undici@7 && mkdir yarn && cd yarn && yarn add --silent is-number@7.0.0',
    { timeoutMs: SETUP_TIMEOUT_MS },
  )
}, SETUP_TIMEOUT_MS + 60_000)
afterAll(async () => {
  await sandbox?.kill()
  await rm(join(internet.info.filesFolder, 'project.git'), { recursive: true, force: true })
}, 30_000)

/** A repository that git fetches as plain files. */
async function makeRepository(): Promise<void> {
  const folder = join(internet.info.filesFolder, 'project.git')
  const git = (...args: string[]) => run('git', ['-C', folder, ...args])
  await run('git', ['init', '-q', '--bare', '-b', 'main', folder])
  const { stdout: tree } = await run('git', ['-C', folder, 'hash-object', '-t', 'tree', '-w', '/dev/null'])
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@t.test']
  const { stdout: commit } = await git(...identity, 'commit-tree', '-m', 'cloned', tree.trim())
  await git('update-ref', 'refs/heads/main', commit.trim())
  await git('update-server-info')
}

const URL_OF = 'https://allowed.test/'
const python = (program: string) => `/tmp/venv/bin/python -c '${program}'`

test.each([
  ['curl', `curl -sS ${URL_OF}`],
  ['curl over HTTP/1.1', `curl -sS --http1.1 ${URL_OF}`],
  ['wget', `wget -qO- ${URL_OF}`],
  [
    'openssl',
    `printf 'GET / HTTP/1.0\\r\\nHost: allowed.test\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -connect allowed.test:443 -servername allowed.test`,
  ],
  ['gh', 'GH_TOKEN=x gh api user --hostname allowed.test'],
  ['fetch of Node', `node -e 'fetch("${URL_OF}").then(r => r.text()).then(console.log)'`],
  ['https of Node', `node -e 'require("https").get("${URL_OF}", r => r.pipe(process.stdout))'`],
  [
    'undici',
    `cd /tmp && node -e 'require("undici").request("${URL_OF}").then(async r => console.log(await r.body.text()))'`,
  ],
  [
    'urllib of Python',
    `python3 -c 'import urllib.request as u; print(u.urlopen("${URL_OF}").read().decode())'`,
  ],
  ['requests', python(`import requests; print(requests.get("${URL_OF}").text)`)],
  ['httpx', python(`import httpx; print(httpx.get("${URL_OF}").text)`)],
  [
    'aiohttp',
    python(
      `import aiohttp, asyncio\nasync def main():\n  async with aiohttp.ClientSession() as s:\n    async with s.get("${URL_OF}") as r: print(await r.text())\nasyncio.run(main())`,
    ),
  ],
])('%s trusts the authority of header transforms', async (_, command) => {
  const { stdout } = await sandbox.commands.run(command, { timeoutMs: 30_000 })
  expect(stdout).toMatch(/"x-intercepted":\s?"yes"/)
})

test('git trusts it', async () => {
  await sandbox.commands.run(
    'rm -rf /tmp/clone && git clone -q https://allowed.test/files/project.git /tmp/clone',
  )
  expect((await sandbox.commands.run('git -C /tmp/clone log --format=%s')).stdout).toBe('cloned\n')
})

test('pip, npm and yarn trust it: the set-up above installed packages from real registries through it', async () => {
  const { stdout } = await sandbox.commands.run(
    'echo | openssl s_client -connect pypi.org:443 -servername pypi.org 2>/dev/null | openssl x509 -noout -issuer',
  )
  const { stdout: other } = await sandbox.commands.run(
    'echo | openssl s_client -connect allowed.test:443 -servername allowed.test 2>/dev/null | openssl x509 -noout -issuer',
  )
  expect(stdout).toBe(other)
  expect(stdout).not.toContain('test internet')
})

test('variables for authorities that a user sets are kept', async () => {
  const own = await Sandbox.create({
    timeoutMs: 60_000,
    envs: Object.fromEntries(AUTHORITY_VARIABLES.map((name) => [name, `/own/${name}`])),
    network: { rules: { 'allowed.test': RULE } },
  })
  const { stdout } = await own.commands.run(`printenv ${AUTHORITY_VARIABLES.join(' ')}`)
  expect(stdout.trim().split('\n')).toEqual(AUTHORITY_VARIABLES.map((name) => `/own/${name}`))
  expect(
    (
      await own.commands.run(
        'env -u CURL_CA_BUNDLE -u SSL_CERT_FILE curl -sS https://allowed.test/ | grep -c x-intercepted || true',
      )
    ).stdout,
  ).toBe('1\n')
  await own.kill()
})
