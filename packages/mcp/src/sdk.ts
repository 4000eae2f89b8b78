// The only file that names the SDK. By its path, because the server runs these sources without a build, and the package
// `e2b` itself leads to `dist`.

export { pooledFetch } from '../../sdk/src/http/pools.ts'
export * from '../../sdk/src/index.ts'
