/** A package that npm has packed, with a hash of its sources; or the reason why there is none. */
export type ClientPackage = { path: string; hash: string } | { missing: string }
