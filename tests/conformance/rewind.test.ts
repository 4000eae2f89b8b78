import { expect, test } from 'vitest'
import { callApi, currentByHost, describeClients, ownSandboxes, type Sandbox } from './official.ts'
import { bootIdOf, post } from './paused.ts'

interface TreeNode {
  checkpointID: string
  parentID: string | null
  why: string
  sizeBytes: number
  isHead: boolean
  names: string[]
}

const checkpointOf = async ({ sandboxId }: Sandbox): Promise<string> => {
  const response = await post(`/sandboxes/${sandboxId}/checkpoints`, {})
  expect(response.status).toBe(201)
  return ((await response.json()) as TreeNode).checkpointID
}
const rollback = ({ sandboxId }: Sandbox, checkpointID: string) =>
  post(`/sandboxes/${sandboxId}/rollback`, { checkpointID })
const treeOf = async ({ sandboxId }: Sandbox): Promise<TreeNode[]> =>
  ((await (await callApi(`/sandboxes/${sandboxId}/tree`)).json()) as { checkpoints: TreeNode[] }).checkpoints

/** Rollback is unknown to E2B's clients, but their sandboxes can be rolled back over REST. */
describeClients(
  'a sandbox that is rewound',
  (client) => {
    const { Sandbox } = client.e2b
    const create = ownSandboxes(client)

    test('has the files, processes and memory of the checkpoint, under the same id and token', async () => {
      const own = await create()
      await own.files.write('/home/user/file', 'then')
      const kept = await own.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
      const bootId = await bootIdOf(own)
      const checkpointID = await checkpointOf(own)
      await own.files.write('/home/user/file', 'now')
      await own.files.write('/home/user/later', '')
      await own.commands.kill(kept.pid)
      expect((await rollback(own, checkpointID)).status).toBe(200)
      expect(await own.files.read('/home/user/file')).toBe('then')
      expect(await own.files.exists('/home/user/later')).toBe(false)
      expect((await own.commands.list()).map(({ pid }) => pid)).toContain(kept.pid)
      expect(await bootIdOf(own)).toBe(bootId)
      const { stdout } = await own.commands.run('date +%s%3N')
      expect(Math.abs(Number(stdout) - Date.now())).toBeLessThan(1_500)
    })

    test('can be rolled back while it is paused, and again after that', async () => {
      const own = await create()
      const points: string[] = []
      for (const text of ['one', 'two']) {
        await own.files.write('/home/user/file', text)
        points.push(await checkpointOf(own))
      }
      await own.files.write('/home/user/file', 'three')
      await own.pause()
      expect((await rollback(own, points[0]!)).status).toBe(200)
      await Sandbox.connect(own.sandboxId)
      expect(await own.files.read('/home/user/file')).toBe('one')
      expect((await rollback(own, points[1]!)).status).toBe(200)
      expect(await own.files.read('/home/user/file')).toBe('two')
    })

    test('can be rolled back to a pause without memory, and boots from it', async () => {
      const own = await create()
      await own.files.write('/home/user/file', 'then')
      await own.pause({ keepMemory: false })
      const { checkpointID } = (await treeOf(own))[0]!
      await own.connect()
      const bootId = await bootIdOf(own)
      await own.files.write('/home/user/file', 'now')
      expect((await rollback(own, checkpointID)).status).toBe(200)
      expect(await own.files.read('/home/user/file')).toBe('then')
      expect(await bootIdOf(own)).not.toBe(bootId)
    })

    test('has a tree that names the parent of each checkpoint', async () => {
      const own = await create()
      const root = await checkpointOf(own)
      const left = await checkpointOf(own)
      await rollback(own, root)
      await own.pause()
      const nodes = await treeOf(own)
      expect(nodes).toMatchObject([
        { checkpointID: root, parentID: null, why: 'checkpoint', isHead: false },
        { checkpointID: left, parentID: root, why: 'checkpoint', isHead: false },
        { parentID: root, why: 'pause', isHead: true },
      ])
      for (const { sizeBytes } of nodes) expect(sizeBytes).toBeGreaterThan(100_000)
    })

    test('lists files that were added, changed and deleted between two of its checkpoints', async () => {
      const own = await create()
      await own.files.write('/home/user/changed', 'a')
      await own.files.write('/home/user/same', 'a')
      const from = await checkpointOf(own)
      await own.files.write('/home/user/changed', 'b')
      await own.files.write('/home/user/added ü', '')
      await own.commands.run('sudo rm /etc/debian_version; sudo sh -c "echo x >> /etc/hosts.allow"')
      const to = await checkpointOf(own)
      const diff = (await (await callApi(`/sandboxes/${own.sandboxId}/diff`)).json()) as Record<
        'added' | 'changed' | 'deleted',
        string[]
      >
      expect(diff).toMatchObject({ from, to, isTruncated: false })
      expect(diff.added).toContain('/home/user/added ü')
      expect(diff.changed).toContain('/home/user/changed')
      expect(diff.deleted).toContain('/etc/debian_version')
      expect([...diff.added, ...diff.changed, ...diff.deleted]).not.toContain('/home/user/same')
      const back = await callApi(`/sandboxes/${own.sandboxId}/diff?from=${to}&to=${from}`)
      expect(((await back.json()) as typeof diff).added).toContain('/etc/debian_version')
    })
  },
  [currentByHost],
)
