import Type from 'typebox'

export const Limit = Type.Optional(
  Type.Integer({
    description: 'Most items of a page, 1 to 100; numbers outside are taken as the nearest. Default 100',
  }),
)

export const NextToken = Type.Optional(
  Type.String({
    maxLength: 1024,
    description: 'Header X-Next-Token of the previous page. Default: the first page',
  }),
)

/** Query parameters of every list that comes in pages. */
export const Page = { limit: Limit, nextToken: NextToken }

/** Headers of an answer that is a page. */
export const NEXT_TOKEN_HEADER = {
  'X-Next-Token': { type: 'string', description: 'nextToken of the next page; absent on the last one' },
}
