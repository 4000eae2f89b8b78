/** Of this package; `version.test.ts` holds it to package.json. */
export const VERSION = '2.51.1'
