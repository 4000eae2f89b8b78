import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createS3Server, type S3Server } from '@sandlot/node/test-support/versitygw'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { internet } from '../internet/injected.ts'
import { buildCli, e2b, end, environment, home } from './cli/command.ts'

const SETUP_TIMEOUT_MS = 400_000
const EVENTUALLY = { timeout: 60_000 }

/** A service that its user has written, as an agent does for a program that shall go on. */
const UNIT = `[Unit]
Description=Pages of a test
[Service]
User=user
Environment="TITLE=two words" PORT=8123
ExecStart=/bin/sh -c 'echo "$TITLE" > /tmp/title; \\
  exec python3 -m http.server $PORT --directory /tmp'
Restart=always
[Install]
WantedBy=multi-user.target
`

let folder: string
let s3: S3Server
let sandbox: Sandbox
let host: string
let config: string
let daemon: ChildProcess | undefined

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sandlot-like-a-machine-'))
  const { addresses, namespace } = internet.info
  s3 = await createS3Server(folder, { address: addresses.web, namespace })
  await Promise.all([buildCli(), s3.start()])
  sandbox = await Sandbox.create({ timeoutMs: 900_000 })
  host = `${sandbox.sandboxId}.sandlot`
  await root(
    'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y nginx-light s3fs rclone 2>&1',
    SETUP_TIMEOUT_MS,
  )
  config = join(folder, 'ssh_config')
  const { stdout, stderr, code } = await e2b(['sandbox', 'ssh-config'])
  if (code !== 0) throw new Error(stderr)
  await writeFile(config, stdout)
}, SETUP_TIMEOUT_MS)
afterAll(async () => {
  await sandbox?.kill()
  await s3?.kill()
  daemon?.kill()
  await rm(folder, { recursive: true, force: true })
}, 60_000)

/** Runs a command as root, and fails with all that it printed. */
async function root(command: string, timeoutMs = 60_000): Promise<string> {
  const result = await sandbox.commands
    .run(command, { user: 'root', timeoutMs })
    .catch((error) => (typeof error.exitCode === 'number' ? error : Promise.reject(error)))
  if (result.exitCode !== 0)
    throw new Error(`${command}: ${result.exitCode}\n${result.stdout}${result.stderr}`)
  return result.stdout
}

/** Runs a program of OpenSSH that knows sandboxes by the printed configuration. */
const openssh = (program: 'ssh' | 'scp' | 'sftp', ...words: string[]) =>
  end(spawn(program, ['-F', config, ...words], { env: environment(), timeout: 60_000, stdio: 'pipe' }))

describe('ssh', () => {
  test('runs a command in the environment of the sandbox, and passes its exit code', async () => {
    const { stdout, stderr, code } = await e2b(
      ['sandbox', 'ssh', sandbox.sandboxId, 'whoami; echo $E2B_SANDBOX_ID; echo wrong >&2; exit 7'],
      {},
    )
    expect({ stdout, stderr, code }).toEqual({
      stdout: `user\n${sandbox.sandboxId}\n`,
      stderr: 'wrong\n',
      code: 7,
    })
  })

  test('scp and sftp copy files both ways', async () => {
    const content = randomBytes(3_000_000)
    const [local, back, again] = ['local', 'back', 'again'].map((name) => join(folder, name))
    await writeFile(local!, content)
    await writeFile(join(folder, 'batch'), `get /tmp/copied ${again}\n`)
    for (const outcome of [
      await openssh('scp', '-q', local!, `${host}:/tmp/copied`),
      await openssh('scp', '-q', `${host}:/tmp/copied`, back!),
      await openssh('sftp', '-q', '-b', join(folder, 'batch'), host),
    ])
      expect(outcome).toMatchObject({ code: 0, stderr: '' })
    for (const copy of [back!, again!]) expect((await readFile(copy)).equals(content)).toBe(true)
  })

  test('one connection serves several commands and a forwarded port, and ends without a trace', async () => {
    const socket = join(folder, 'control')
    const port = await freePort()
    const master = spawn(
      'ssh',
      ['-F', config, '-M', '-S', socket, '-N', '-L', `${port}:localhost:49983`, `root@${host}`],
      { env: environment(), stdio: 'ignore' },
    )
    try {
      await expect.poll(() => existsSync(socket), EVENTUALLY).toBe(true)
      const count = await openssh('ssh', '-S', socket, host, 'pgrep -cx sshd')
      expect(count.stdout).toBe('1\n')
      expect((await fetch(`http://127.0.0.1:${port}/health`)).ok).toBe(true)
    } finally {
      master.kill()
      await once(master, 'exit')
    }
    await expect.poll(() => root('pgrep -cx sshd || true'), EVENTUALLY).toBe('0\n')
  })

  test('keys are private, and a host key that is not the one of the sandbox ends the connection', async () => {
    const key = join(home, '.e2b', 'ssh', 'id_ed25519')
    expect(((await stat(key)).mode & 0o777).toString(8)).toBe('600')
    expect(await root(`stat -c %a /var/lib/e2b-ssh/${sandbox.sandboxId}/host_key`)).toBe('600\n')
    const other = await openssh(
      'ssh',
      '-o',
      `HostKeyAlias=other`,
      '-o',
      'UserKnownHostsFile=/dev/null',
      host,
      'true',
    )
    expect(other.code).toBe(255)
    expect(other.stderr).toContain('Host key verification failed')
  })
})

describe('systemctl', () => {
  test('starts and stops a service of a package, with exit codes of systemd', async () => {
    await sandbox.commands.run('systemctl start nginx')
    expect(await root('systemctl is-active nginx; curl -so /dev/null -w "%{http_code}" localhost')).toBe(
      'active\n200',
    )
    await root('systemctl stop nginx')
    const answers = await root(
      'for command in "is-active nginx" "status nope" "start nope" "stop a.timer"; do systemctl $command 2>&1; echo $?; done',
    )
    expect(answers.split('\n')).toEqual([
      ...['inactive', '3', 'Unit nope.service could not be found.', '4'],
      ...['Failed to start nope.service: Unit nope.service not found.', '5'],
      'systemctl: a.timer: only services are supported, because this machine was not booted by systemd',
      ...['1', ''],
    ])
    await root('systemctl restart nginx')
  })

  test('runs a unit that a user wrote, and runs it again when it ends', async () => {
    await sandbox.files.write('/etc/systemd/system/pages.service', UNIT, { user: 'root' })
    await root('systemctl daemon-reload && systemctl enable --now pages')
    const untilItAnswers = 'until curl -so /dev/null localhost:8123; do sleep 0.2; done'
    await root(untilItAnswers)
    const pid = (await root('systemctl show pages -p MainPID --value')).trim()
    expect(await root(`stat -c %U /proc/${pid}; cat /tmp/title`)).toBe('user\ntwo words\n')
    await root(`kill -9 ${pid}; while [ -e /proc/${pid} ]; do sleep 0.1; done; ${untilItAnswers}`)
    expect(await root('systemctl is-enabled pages')).toBe('enabled\n')
  })
})

test('s3fs and rclone mount a bucket', async () => {
  const { bucket, endpoint, credentials } = s3.options
  const { accessKeyId, secretAccessKey } = credentials!
  await sandbox.files.write('/root/.passwd-s3fs', `${accessKeyId}:${secretAccessKey}`, { user: 'root' })
  await root('chmod 600 /root/.passwd-s3fs')
  await sandbox.files.makeDir('/home/user/bucket')
  await root(`s3fs ${bucket} /home/user/bucket -o url=${endpoint} -o use_path_request_style -o allow_other`)
  await sandbox.files.write(
    '/home/user/.config/rclone/rclone.conf',
    `[s3]\ntype = s3\nprovider = Other\nendpoint = ${endpoint}\naccess_key_id = ${accessKeyId}\nsecret_access_key = ${secretAccessKey}\n`,
  )
  await sandbox.files.makeDir('/home/user/rclone')
  await sandbox.commands.run(
    `rclone mount s3:${bucket} /home/user/rclone --vfs-cache-mode writes --vfs-write-back 0s --dir-cache-time 0s`,
    { background: true, timeoutMs: 0 },
  )
  await root('until grep -q " /home/user/rclone " /proc/mounts; do sleep 0.1; done')
  await sandbox.commands.run('echo one > bucket/one && echo two > rclone/two')
  expect(await readFile(join(s3.bucketDir, 'one'), 'utf8')).toBe('one\n')
  await expect
    .poll(() => readFile(join(s3.bucketDir, 'two'), 'utf8').catch(() => ''), EVENTUALLY)
    .toBe('two\n')
})

test('after a pause ssh, services, units and mounts work', async () => {
  await sandbox.pause()
  // enters the paused sandbox, which resumes it
  const { stdout, stderr } = await openssh(
    'ssh',
    host,
    'cat bucket/one rclone/two; echo three > bucket/three',
  )
  expect({ stdout, stderr }).toEqual({ stdout: 'one\ntwo\n', stderr: '' })
  expect(await readFile(join(s3.bucketDir, 'three'), 'utf8')).toBe('three\n')
  expect(
    await root(
      'systemctl is-active nginx pages; curl -so /dev/null -w "%{http_code} " localhost; curl -s localhost:8123/title',
    ),
  ).toBe('active\nactive\n200 two words\n')
  await sandbox.commands.run('echo four > rclone/four && fusermount3 -u rclone && sudo umount bucket')
  await expect
    .poll(() => readFile(join(s3.bucketDir, 'four'), 'utf8').catch(() => ''), EVENTUALLY)
    .toBe('four\n')
})

test('the script of the workflow for GitHub runs the tests of a branch, and fails with them', async () => {
  const { workflow, run } = await preparedWorkflow()
  expect(workflow.match(/^ +run: .*/gm)?.map((line) => line.trim())).toEqual([
    'run: npm install --no-save e2b',
    'run: node .github/scripts/run-tests.mjs',
  ])
  const passed = await run({ TESTS: 'cat greeting' })
  expect(passed).toMatchObject({ code: 0, stdout: 'hello\nThe tests passed.\n' })
  const failed = await run({ TESTS: 'echo broken; exit 3' })
  expect(failed).toMatchObject({ code: 3, stdout: 'broken\nA command ended with exit code 3.\n' })
  expect(await readFile(join(folder, 'summary'), 'utf8')).toContain('The tests passed.')
})

/** Lays out a runner's checkout, and serves a repository with the branch `change` where sandboxes reach it. */
async function preparedWorkflow() {
  const example = fileURLToPath(new URL('../../examples/github-actions/', import.meta.url))
  const { addresses, namespace } = internet.info
  const checkout = join(folder, 'checkout')
  await mkdir(join(checkout, '.github', 'scripts'), { recursive: true })
  await mkdir(join(checkout, 'node_modules'))
  await copyFile(join(example, 'run-tests.mjs'), join(checkout, '.github', 'scripts', 'run-tests.mjs'))
  await symlink(dirname(packageOf('e2b-official')), join(checkout, 'node_modules', 'e2b'))
  const repository = join(folder, 'git', 'octo', 'project.git')
  await promisify(execFile)('sh', ['-e', '-c', MAKE_REPOSITORY], {
    env: { ...process.env, REPOSITORY: repository },
  })
  const port = await freePort()
  daemon = spawn('ip', [
    ...[
      'netns',
      'exec',
      namespace,
      'git',
      'daemon',
      '--export-all',
      '--reuseaddr',
      '--verbose',
      '--log-destination=stderr',
    ],
    ...[`--base-path=${join(folder, 'git')}`, `--listen=${addresses.web}`, `--port=${port}`],
  ])
  await once(daemon.stderr!, 'data')
  const given = {
    GITHUB_SERVER_URL: `git://${addresses.web}:${port}`,
    HEAD_REPOSITORY: 'octo/project',
    GITHUB_HEAD_REF: 'change',
    GITHUB_TOKEN: undefined,
    GITHUB_STEP_SUMMARY: join(folder, 'summary'),
    INSTALL: 'true',
  }
  const run = (more: Record<string, string>) =>
    end(
      spawn(process.execPath, ['.github/scripts/run-tests.mjs'], {
        cwd: checkout,
        env: environment({ ...given, ...more }),
        timeout: 60_000,
      }),
    )
  return { workflow: await readFile(join(example, 'sandbox-tests.yml'), 'utf8'), run }
}

const packageOf = (name: string): string => createRequire(import.meta.url).resolve(`${name}/package.json`)

const MAKE_REPOSITORY = `git init -q --bare -b main "$REPOSITORY"
git init -q -b change "$REPOSITORY.work" && cd "$REPOSITORY.work"
echo hello > greeting && git add greeting
git -c user.name=t -c user.email=t@t.test commit -q -m change && git push -q "$REPOSITORY" change`

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
