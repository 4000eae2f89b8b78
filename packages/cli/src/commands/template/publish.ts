import { publicationCommand } from '../../templates/publication.ts'

export const publish = () =>
  publicationCommand({ name: 'publish', verb: 'Publish', done: 'published', isPublic: true })
