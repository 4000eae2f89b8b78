import type { paths as Described } from '../gen/api.ts'
import type { Schema } from './schema.ts'

type ErrorStatus = 400 | 401 | 403 | 404 | 409 | 429 | 500 | 502 | 503 | 504 | 507
type Headers = { [name: string]: unknown }
type Answer<Body> = { headers: Headers; content: { 'application/json': Body } }

interface Parts {
  path?: unknown
  query?: unknown
  body?: unknown
}

/** One operation in the form that openapi-fetch expects: the parts of the request, and the answer by status. */
type Operation<Status extends number, Body, In extends Parts = object> = {
  parameters: {
    query?: In extends { query: infer Query } ? Query : never
    header?: never
    cookie?: never
  } & (In extends { path: infer Path } ? { path: Path } : { path?: never })
  responses: {
    [status in Status]: Body extends undefined ? { headers: Headers; content?: never } : Answer<Body>
  } & {
    [status in ErrorStatus]: Answer<Schema<'Error'>>
  }
} & (In extends { body: infer Sent }
  ? { requestBody: { content: { 'application/json': Sent } } }
  : { requestBody?: never })

/** Routes of the REST API: the routes of `/openapi.json`, and routes of E2B that Sandlot does not implement yet. */
export interface paths extends Described, LaterPaths {}

/** Routes for team metrics (wire spec, section 2.8), which answer 501. */
interface LaterPaths {
  '/teams/{teamID}/metrics': {
    get: Operation<
      200,
      Schema<'TeamMetric'>[],
      { path: { teamID: string }; query: { start?: number; end?: number } }
    >
  }
  '/teams/{teamID}/metrics/max': {
    get: Operation<
      200,
      Schema<'MaxTeamMetric'>,
      {
        path: { teamID: string }
        query: { start?: number; end?: number; metric: 'concurrent_sandboxes' | 'sandbox_start_rate' }
      }
    >
  }
}
