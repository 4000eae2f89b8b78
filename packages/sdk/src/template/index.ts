export type { TemplateBuilder, TemplateClass, TemplateFinal, TemplateFromImage } from './builder.ts'
export { type CallableTemplate, callableTemplate } from './callable.ts'
export { defaultBuildLogger } from './default-build-logger.ts'
export { LogEntry, LogEntryEnd, type LogEntryLevel, LogEntryStart } from './log-entry.ts'
export {
  ReadyCmd,
  waitForFile,
  waitForPort,
  waitForProcess,
  waitForTimeout,
  waitForURL,
} from './ready-command.ts'
export { Template, TemplateBase } from './template.ts'
export type {
  BuildInfo,
  BuildOptions,
  BuildStatusReason,
  CopyItem,
  GetBuildStatusOptions,
  McpServerName,
  TemplateBuildStatus,
  TemplateBuildStatusResponse,
  TemplateTag,
  TemplateTagInfo,
} from './types.ts'
