// Makes the Python environments of the conformance tests before they run: on a fresh machine each takes some seconds.
import { interruptedVersions, oldVersions, pythonOf, pythonVersions } from './venv.ts'

const versions = new Set([...pythonVersions, ...oldVersions, ...interruptedVersions])
for (const version of versions) process.stdout.write(`${await pythonOf(version)}\n`)
