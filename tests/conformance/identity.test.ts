import { expect, test } from 'vitest'
import { clients, describeClients, ownSandboxes, type Sandbox, v1ByHost } from './official.ts'

const FILES = '/run/e2b/.E2B_SANDBOX /run/e2b/.E2B_SANDBOX_ID /run/e2b/.E2B_TEMPLATE_ID'

/** The ids that the files and the environment of a command contain. */
async function identityOf(sandbox: Sandbox): Promise<{ files: string[]; environment: string[] }> {
  const { stdout } = await sandbox.commands.run(
    `for file in ${FILES}; do cat $file; echo; done; printf '%s\\n' "$E2B_SANDBOX" "$E2B_SANDBOX_ID" "$E2B_TEMPLATE_ID"`,
  )
  const lines = stdout.trimEnd().split('\n')
  return { files: lines.slice(0, 3), environment: lines.slice(3) }
}

const expectIdentity = async (sandbox: Sandbox, templateId: string) => {
  const own = ['true', sandbox.sandboxId, templateId]
  expect(await identityOf(sandbox)).toEqual({ files: own, environment: own })
}

describeClients(
  'files and variables say which sandbox this is',
  (client) => {
    const { Sandbox } = client.e2b
    const create = ownSandboxes(client)
    const templateOf = async (sandbox: Sandbox) => (await Sandbox.getInfo(sandbox.sandboxId)).templateId

    test('after a create, for every user', async () => {
      const own = await create()
      await expectIdentity(own, await templateOf(own))
      const { stdout } = await own.commands.run(
        `stat -c '%U %a' ${FILES}; sudo -i cat /run/e2b/.E2B_SANDBOX_ID`,
      )
      expect(stdout).toBe(`${'root 644\n'.repeat(3)}${own.sandboxId}`)
    })

    test('after a fork whose source had replaced them, and after a resume', async () => {
      const own = await create()
      const templateId = await templateOf(own)
      await own.commands.run(
        'rm /run/e2b/.E2B_SANDBOX_ID && mkfifo /run/e2b/.E2B_SANDBOX_ID && ln -sf /etc/passwd /run/e2b/.E2B_TEMPLATE_ID',
        { user: 'root' },
      )
      const [forked] = await own.fork()
      const fork = forked as Sandbox
      try {
        expect(fork.sandboxId).not.toBe(own.sandboxId)
        await expectIdentity(fork, templateId)
        expect((await fork.commands.run('head -c 4 /etc/passwd')).stdout).toBe('root')
        await fork.pause({ keepMemory: false })
        await expectIdentity(await Sandbox.connect(fork.sandboxId), templateId)
      } finally {
        await fork.kill()
      }
    })

    test('after a create from a snapshot', async () => {
      const own = await create()
      const { snapshotId } = await own.createSnapshot()
      const copy = await Sandbox.create(snapshotId)
      try {
        await expectIdentity(copy, await templateOf(copy))
        await expectIdentity(own, await templateOf(own))
        expect(await templateOf(copy)).toBe(snapshotId.split(':')[0])
      } finally {
        await copy.kill()
        await Sandbox.deleteSnapshot(snapshotId)
      }
    })
  },
  clients.filter((client) => client !== v1ByHost),
)
