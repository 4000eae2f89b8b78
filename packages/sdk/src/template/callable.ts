import type { TemplateFromImage } from './builder.ts'
import { callerTrace, directoryOf } from './caller-trace.ts'
import type { TemplateOptions } from './types.ts'

type TemplateConstructor = new (options?: TemplateOptions) => TemplateFromImage

/**
 * A template class that is also a function, called without `new`.
 *
 * @internal
 */
export type CallableTemplate<Class extends TemplateConstructor> = Class &
  ((options?: TemplateOptions) => TemplateFromImage)

/**
 * Makes a template class callable. Static methods run with the result as `this`, so that options that are bound to the
 * class stay bound.
 *
 * @internal
 */
export function callableTemplate<Class extends TemplateConstructor>(
  TemplateSubclass: Class,
): CallableTemplate<Class> {
  const handler = {
    apply(target: Class, _: unknown, [options]: [TemplateOptions?]): TemplateFromImage {
      const fileContextPath = options?.fileContextPath ?? directoryOf(callerTrace(handler.apply))
      return new target({ ...options, fileContextPath })
    },
  }
  return new Proxy(TemplateSubclass, handler) as CallableTemplate<Class>
}
