'use strict';

const http = require('http');
const fs = require('fs');
const os = require('os');
const router = require('tiny-router');
const { greet } = require('@acme/greeting');

const modules = () => fs.readdirSync('node_modules').filter((name) => !name.startsWith('.')).sort();

const server = http.createServer(router({
  '/': (request, response) => response.end(`${greet('node')}\n`),
  '/about': (request, response) => response.end(JSON.stringify({
    environment: process.env.NODE_ENV,
    user: os.userInfo().username,
    built: fs.readFileSync(__filename, 'utf8').startsWith('/* built by shout-build */'),
    modules: modules(),
  })),
}));

server.listen(Number(process.env.PORT || 3000), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
