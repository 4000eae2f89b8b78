import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { debianTar } from '../registry/debian.ts'
import { distributionTar } from '../registry/other-distributions.ts'
import { registryPorts } from '../registry/ports.ts'
import { type Registry, startRegistry } from '../registry/registry.ts'
import { makeRootfs, tarOf } from '../registry/rootfs.ts'
import { callApi, currentByUrl, ownSandboxes, rejection, useEnvironment } from './official.ts'

const client = currentByUrl
const { Template, waitForPort, waitForProcess } = client.e2b
/** Packages are installed in the image once, on a machine that other work loads too. */
const BUILD_TIMEOUT_MS = 900_000
const unique = `f${process.pid}`
let registry: Registry
let scratch: string
const create = ownSandboxes(client)

beforeAll(async () => {
  useEnvironment(client)
  registry = await startRegistry(registryPorts('conformance'))
  scratch = mkdtempSync(join(tmpdir(), 'sandlot-images-'))
}, 60_000)
afterAll(async () => {
  await registry?.stop()
  rmSync(scratch, { recursive: true, force: true })
  const templates = (await (await callApi('/templates')).json()) as Array<{ aliases: string[] }>
  for (const { aliases } of templates)
    if (aliases[0]?.startsWith(unique)) await callApi(`/templates/${aliases[0]}`, { method: 'DELETE' })
}, 60_000)

const build = async (of: unknown, name: string): Promise<string[]> => {
  const logs: string[] = []
  await Template.build(of as never, `${unique}-${name}`, {
    onBuildLogs: ({ message }: { message: string }) => void logs.push(message),
  })
  return logs
}
const start = (name: string) => create({ template: `${unique}-${name}` } as never)

test(
  'a plain Debian image gets the tools that clients rely on, once for all builds, and none of their services runs',
  async () => {
    await registry.push('debian:12', [await debianTar()])
    const from = () => Template().fromImage(`${registry.host}/debian:12`)
    const first = await build(
      from()
        .runCmd('sudo touch /made')
        .setStartCmd(
          'while true; do echo HTTP/1.0 200 | socat - TCP-LISTEN:8200,reuseaddr; done',
          waitForPort(8200),
        ),
      'debian',
    )
    expect(first.join('\n')).toMatch(/Adding what sandboxes need: sudo, sshd, socat, curl, .*git.* ss/)
    expect(first.join('\n')).not.toContain(' has no ')
    const second = await build(from().setStartCmd('sleep 1000', waitForProcess('sleep')), 'debian-again')
    expect(second.join('\n')).not.toContain('Adding')
    const sandbox = await start('debian')
    await sandbox.git.init('/home/user/repo')
    expect((await sandbox.git.status('/home/user/repo')).currentBranch).toBeTruthy()
    const { stdout } = await sandbox.commands
      .run(
        'ls /made; pgrep -a "sshd|chronyd|rpcbind" || echo none; ls /etc/ssh/ssh_host_* /usr/sbin/policy-rc.d 2>/dev/null; grep -c ^user_allow_other /etc/fuse.conf; ls /var/lib/apt/lists | grep -c _dists_',
      )
      .catch((error) => error)
    expect(stdout).toBe('/made\nnone\n1\n0\n')
    const installed = await sandbox.commands
      .run('sudo sh -c "apt-get update -qq && apt-get install -qq -y fuse" </dev/null 2>&1', {
        timeoutMs: 400_000,
      })
      .catch((error) => error)
    expect([installed.exitCode, installed.stdout]).toEqual([0, installed.stdout])
  },
  BUILD_TIMEOUT_MS,
)

/** By package: every requested tool except NFS, which this distribution does not have. */
const pool = (names: { git: string; sshd: string; iptables: string; iproute: string; procps: string }) => ({
  sudo: 'sudo',
  socat: 'socat',
  curl: 'curl',
  fuse3: 'fusermount3',
  less: 'less',
  jq: 'jq',
  nftables: 'nft',
  iputils: 'ping',
  chrony: 'chronyd',
  tar: 'tar',
  [names.git]: 'git',
  [names.sshd]: 'sshd',
  [names.iptables]: 'iptables',
  [names.iproute]: 'ss',
  [names.procps]: 'pgrep',
})

test.each([
  [
    'alpine' as const,
    {
      ...pool({
        git: 'git',
        sshd: 'openssh',
        iptables: 'iptables',
        iproute: 'iproute2',
        procps: 'procps-ng',
      }),
      shadow: 'useradd',
      'musl-utils': 'getent',
    },
  ],
  [
    'fedora' as const,
    {
      ...pool({
        git: 'git-core',
        sshd: 'openssh-server',
        iptables: 'iptables-nft',
        iproute: 'iproute',
        procps: 'procps-ng',
      }),
      'shadow-utils': 'useradd',
      'glibc-common': 'getent',
      'openssh-clients': 'ssh',
    },
  ],
])(
  'an image of %s gets bash and the other tools from its own package manager, and the log names tools that its source lacks',
  async (distribution, packages) => {
    const file = await distributionTar(distribution, { pool: packages }, join(scratch, 'root.tar'))
    await registry.push(`${distribution}:1`, [file])
    const of = () => Template().fromImage(`${registry.host}/${distribution}:1`)
    const first = await build(of().runCmd('type bash > /home/user/made'), distribution)
    // the shell of Debian's busybox runs its own tar, whatever is installed
    const lack =
      / has no mount\.nfs(?:, tar of GNU)?: its package sources do not have them\. .*Install them in the image, or in a step$/
    expect(first.filter((line) => lack.test(line))).toHaveLength(1)
    const asked = 'cat made /var/asked'
    const { stdout } = await (await start(distribution)).commands.run(asked)
    expect(stdout).toContain('bash is /bin/bash')
    expect(stdout).toMatch(/update|makecache/)
    expect(stdout).not.toMatch(/(add|install) .*ca-certificates/)
    const second = await build(of().runCmd('true'), `${distribution}-again`)
    expect(second.filter((line) => lack.test(line))).toHaveLength(1)
    expect(second.join('\n')).not.toContain('Adding')
  },
  BUILD_TIMEOUT_MS,
)

test(
  'without a package source the build names the missing tools and continues; without bash the build fails',
  async () => {
    await registry.push('nothing:1', [tarOf(makeRootfs(), join(scratch, 'nothing.tar'))])
    const logs = await build(Template().fromImage(`${registry.host}/nothing:1`).runCmd('true'), 'nothing')
    expect(logs.join('\n')).toMatch(
      / has no sudo, .*git, .*: the image has no apt-get, apk, dnf, microdnf or yum\. .*sandbox\.git needs git; waitForPort needs ss/,
    )
    await registry.push('cut-off:1', [await distributionTar('alpine', {}, join(scratch, 'cut-off.tar'))])
    const error = await rejection(build(Template().fromImage(`${registry.host}/cut-off:1`), 'cut-off'))
    expect(error.message).toMatch(
      /has no \/bin\/bash, which runs the commands of sandboxes; it could not be installed: .*no such package.*Use an image that has bash, or let builds reach its package source/s,
    )
  },
  BUILD_TIMEOUT_MS,
)
