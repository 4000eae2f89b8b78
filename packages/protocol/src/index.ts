export * from './errors.ts'
export * from './hosts.ts'
export * from './ids.ts'
