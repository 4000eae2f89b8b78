const { createServer } = require('node:http')
const { readFileSync } = require('node:fs')

const { NAME, PORT = 3000 } = process.env
createServer((_, response) => response.end(`${NAME} ${readFileSync('built')} ${process.pid}`)).listen(PORT)
