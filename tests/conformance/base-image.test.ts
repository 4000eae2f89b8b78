import { expect, test } from 'vitest'
import { currentByUrl, ownSandboxes, useEnvironment } from './official.ts'

const client = currentByUrl
useEnvironment(client)
const create = ownSandboxes(client)

/** Commands by which each tool that programs and guides of E2B rely on shows that it works. */
const TOOLS = [
  ...['git --version', 'gh --version', 'svn --version --quiet', 'hg --version --quiet', 'file --version'],
  ...['gpg --version', 'curl --version', 'jq --version', 'less --version', 'socat -V', 'convert -version'],
  ...['pkg-config --version', 'autoconf --version', 'ss -V', 'ping -c 1 127.0.0.1', 'pgrep -V'],
  // gVisor's kernel does not implement what the other two need
  ...[
    'fusermount3 --version',
    '/usr/sbin/iptables-legacy --version',
    'test -x /usr/sbin/iptables -a -x /usr/sbin/nft',
  ],
  ...['/usr/sbin/chronyd --version', '/usr/sbin/mount.nfs -V', '/usr/sbin/sshd -V', 'ssh -V', 'sudo true'],
]

test.each(TOOLS)('%s', async (command) => {
  const sandbox = await shared()
  const { exitCode, stdout, stderr } = await sandbox.commands.run(`${command} 2>&1`).catch((error) => error)
  expect([exitCode, stdout, stderr]).toEqual([exitCode === 0 ? 0 : 'exit code 0', stdout, stderr])
})

let made: ReturnType<typeof create> | undefined
const shared = () => (made ??= create({ timeoutMs: 600_000 }))

test('Python packages that use libpq, libxml2 and libffi are built from source', {
  timeout: 400_000,
}, async () => {
  const sandbox = await shared()
  const run = (command: string) => sandbox.commands.run(command, { timeoutMs: 300_000 })
  await run('pip install --quiet --no-binary psycopg2 psycopg2')
  expect((await run('python3 -c "import psycopg2; print(psycopg2.__libpq_version__ // 10000)"')).stdout).toBe(
    '15\n',
  )
  for (const library of ['libpq', 'openssl', 'libffi', 'libxml-2.0'])
    expect((await run(`pkg-config --modversion ${library}`)).stdout).toMatch(/^\d+\./)
})

test('a picture is converted', async () => {
  const sandbox = await shared()
  const { stdout } = await sandbox.commands.run(
    'cd /tmp && convert -size 40x30 xc:red red.png && convert red.png -resize 50% small.jpg && identify -format "%m %w %h" small.jpg',
  )
  expect(stdout).toBe('JPEG 20 15')
})

test('FUSE mounts for others are allowed, and mtab shows what is mounted', async () => {
  const sandbox = await shared()
  const { stdout } = await sandbox.commands.run(
    'grep -c ^user_allow_other /etc/fuse.conf; readlink /etc/mtab; grep -c " / " /etc/mtab',
  )
  expect(stdout).toBe('1\n../proc/self/mounts\n1\n')
})

test('a package may link its manual page, without which Java cannot be installed', async () => {
  const sandbox = await shared()
  const page = '/usr/share/man/man1/java.1.gz'
  const { stdout } = await sandbox.commands.run(
    `sudo update-alternatives --install /usr/bin/java-of-test java-of-test /bin/true 1 --slave ${page} java.1.gz /etc/hostname && readlink ${page}`,
  )
  expect(stdout).toContain('/etc/alternatives/java.1.gz\n')
})

test('a package with a file that this image changed is installed without a question', {
  timeout: 200_000,
}, async () => {
  const sandbox = await create({ timeoutMs: 200_000 })
  const { stdout } = await sandbox.commands.run(
    'sudo sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y s3fs fuse" </dev/null 2>&1 | tail -5; dpkg -l fuse s3fs | grep -c ^ii; grep -c ^user_allow_other /etc/fuse.conf',
    { timeoutMs: 150_000 },
  )
  expect(stdout.split('\n').slice(-3)).toEqual(['2', '1', ''])
})

test('no service of the installed packages runs', async () => {
  const sandbox = await create()
  const { stdout } = await sandbox.commands.run('pgrep -la "sshd|chronyd|rpc|nfs" || echo none')
  expect(stdout).toBe('none\n')
})

test('an ssh server that is started has keys that no other sandbox has', async () => {
  const keyOf = async () => {
    const sandbox = await create()
    expect((await sandbox.commands.run('ls /etc/ssh/ssh_host_* 2>/dev/null || true')).stdout).toBe('')
    await sandbox.commands.run('sudo service ssh start', { timeoutMs: 60_000 })
    const { stdout } = await sandbox.commands.run('ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null')
    return stdout.trim().split(' ').at(-1)
  }
  const [one, other] = [await keyOf(), await keyOf()]
  expect(one).toMatch(/^AAAA/)
  expect(one).not.toBe(other)
})

test('variables for authorities that the sandbox or a command has hold in login shells', async () => {
  const sandbox = await create({ envs: { SSL_CERT_FILE: '/own.pem', NODE_EXTRA_CA_CERTS: '/node.pem' } })
  const { stdout } = await sandbox.commands.run(
    'printenv SSL_CERT_FILE NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE PIP_CERT',
    { envs: { REQUESTS_CA_BUNDLE: '/requests.pem', PIP_CERT: '/pip.pem' } },
  )
  expect(stdout).toBe('/own.pem\n/node.pem\n/requests.pem\n/pip.pem\n')
})
