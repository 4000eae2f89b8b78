// `npm run docs`: writes the generated pages of the documentation from the programs, the settings schema and the error table.
import { relative } from 'node:path'
import { writePages } from './pages.ts'

const written = await writePages()
for (const path of written) process.stdout.write(`wrote ${relative(process.cwd(), path)}\n`)
if (written.length === 0) process.stdout.write('The generated pages are up to date.\n')
