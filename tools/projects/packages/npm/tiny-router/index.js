'use strict';

// A table of exact paths; anything else is 404.
module.exports = function router(routes) {
  return (request, response) => {
    const handler = routes[request.url];
    if (!handler) {
      response.writeHead(404).end('not found\n');
      return;
    }
    handler(request, response);
  };
};
