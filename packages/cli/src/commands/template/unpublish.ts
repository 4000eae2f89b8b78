import { publicationCommand } from '../../templates/publication.ts'

export const unpublish = () =>
  publicationCommand({ name: 'unpublish', verb: 'Unpublish', done: 'unpublished', isPublic: false })
