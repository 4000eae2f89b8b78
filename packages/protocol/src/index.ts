export { BuildFailure } from './build-failure.ts'
export * from './errors.ts'
export * from './hosts.ts'
export * from './ids.ts'
