import type { ChildProcess } from 'node:child_process'

/** Calls methods of a process that answers like `packet-agent.fixture.ts`. */
export function remote<T>(child: ChildProcess): T {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let next = 1
  child.on('message', ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
    if (error === undefined) waiting.get(id)?.resolve(result)
    else waiting.get(id)?.reject(new Error(error))
    waiting.delete(id)
  })
  child.on('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('the process has ended'))
  })
  const call =
    (method: string) =>
    (...args: unknown[]) => {
      const waiter = Promise.withResolvers<unknown>()
      const id = next++
      waiting.set(id, waiter)
      child.send({ id, method, args })
      return waiter.promise
    }
  return new Proxy({ child } as object, {
    // a promise that resolves with the proxy asks for `then`
    get: (target, method) =>
      method in target || method === 'then' ? Reflect.get(target, method) : call(String(method)),
  }) as T
}
