import { Sandbox, Template } from 'e2b-official'
import { beforeAll, expect, test } from 'vitest'
import { callApi, currentByHost, rejection, runId, useEnvironment } from './official.ts'

const name = `${runId}-by-id`
const build = async (step: string, from?: string): Promise<string> => {
  const origin = from ? Template().fromTemplate(from) : Template().fromBaseImage()
  return (await Template.build(origin.runCmd(`echo ${step} >> /home/user/steps`), name)).buildId
}
const stepsOf = async (template: string): Promise<string> => {
  const sandbox = await Sandbox.create(template, { timeoutMs: 60_000, metadata: { runId } })
  try {
    return (await sandbox.commands.run('cat steps')).stdout
  } finally {
    await sandbox.kill()
  }
}

beforeAll(() => useEnvironment(currentByHost))

test('a build can be started, built on and tagged by its id, also after its tag points to another build', async () => {
  const first = await build('first')
  await build('second')
  const third = await build('third', `${name}:${first}`)
  expect(await stepsOf(`${name}:${first}`)).toBe('first\n')
  expect(await stepsOf(`${name}:${third}`)).toBe('first\nthird\n')
  expect(await stepsOf(name)).toBe('first\nthird\n')
  await Template.assignTags(`${name}:${first}`, ['old'])
  expect(await stepsOf(`${name}:old`)).toBe('first\n')
  const unknown = '00000000-0000-4000-8000-000000000000'
  expect((await rejection(stepsOf(`${name}:${unknown}`))).message).toBe(
    `404: tag '${unknown}' does not exist for template '${name}'`,
  )
  expect((await callApi(`/templates/${name}`, { method: 'DELETE' })).status).toBe(204)
}, 180_000)
