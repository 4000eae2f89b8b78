// Preloaded into servers of suites (`node --import`): writes down answers that are not as /openapi.json says.
import { appendFileSync } from 'node:fs'
import { checkAnswers } from '@sandlot/server/test-support/answer-checks'

const file = process.env.ANSWER_VIOLATIONS
if (file) checkAnswers((violation) => appendFileSync(file, `${violation}\n`))
