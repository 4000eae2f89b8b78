import Type from 'typebox'
import { OneOf } from './fields.ts'
import type { Operation } from './operation.ts'

const CatalogEstimate = Type.Object(
  {
    seconds: Type.Number(),
    megabytes: Type.Number({ description: 'MB of disk' }),
  },
  { title: 'CatalogEstimate', description: 'What builds take, from builds before them' },
)
const CatalogEntry = Type.Object(
  {
    name: Type.String(),
    state: OneOf(['waiting', 'building', 'ready', 'failed', 'left-out', 'removed']),
    sinceMs: Type.Optional(Type.Number({ description: 'Of building: since when, in Unix milliseconds' })),
    step: Type.Optional(Type.String({ description: 'Of building: what it does now' })),
    reason: Type.Optional(Type.String({ description: 'Of failed and left-out' })),
    estimate: Type.Optional(CatalogEstimate),
  },
  { title: 'CatalogEntry' },
)
const CatalogReport = Type.Object(
  {
    templates: Type.Array(CatalogEntry),
    readyCount: Type.Integer(),
    left: CatalogEstimate,
  },
  { title: 'CatalogReport' },
)
const CatalogRemoval = Type.Object(
  {
    wasThere: Type.Boolean(),
    freedBytes: Type.Integer(),
    neededBy: Type.Integer({
      description: 'Snapshots and templates that were made from it, which keep its files',
    }),
  },
  { title: 'CatalogRemoval' },
)
const CatalogName = Type.Object({
  name: Type.String({ maxLength: 128, description: 'Name of a template that comes with this server' }),
})

export const getCatalog = {
  operationId: 'getCatalog',
  tags: ['catalog'],
  summary: 'List the templates that come with this server, and what is left to build',
  response: { 200: CatalogReport },
  errors: [],
} satisfies Operation

export const buildCatalogTemplate = {
  operationId: 'buildCatalogTemplate',
  tags: ['catalog'],
  summary: 'Build a template that comes with this server; for its administrator',
  params: CatalogName,
  response: { 202: Type.Null() },
  errors: ['not_found', 'conflict', 'not_implemented'],
} satisfies Operation

export const removeCatalogTemplate = {
  operationId: 'removeCatalogTemplate',
  tags: ['catalog'],
  summary: 'Remove a template that comes with this server until it is built again; for its administrator',
  params: CatalogName,
  response: { 200: CatalogRemoval },
  errors: ['not_found', 'conflict', 'not_implemented'],
} satisfies Operation
