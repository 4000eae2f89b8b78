import Type from 'typebox'
import { ERROR_NAMES } from '../errors.ts'

/** The body of every error, except for those of OAuth. */
export const ApiError = Type.Object(
  {
    code: Type.Integer({ description: 'HTTP status, repeated: clients test it in the body' }),
    message: Type.String({ description: 'What is wrong and what to do about it, for people' }),
    error_code: Type.Optional(
      Type.String({ description: `Name of the error, for programs: ${ERROR_NAMES.join(', ')}` }),
    ),
  },
  { title: 'Error' },
)
