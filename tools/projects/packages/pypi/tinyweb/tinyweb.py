"""A WSGI application from a table of functions, and a command that serves one."""
import importlib
import os
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server


class App:
    def __init__(self):
        self.routes = {}

    def route(self, path):
        def add(function):
            self.routes[path] = function
            return function
        return add

    def __call__(self, environ, start_response):
        function = self.routes.get(environ["PATH_INFO"])
        if function is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [function().encode()]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def main():
    module, _, name = sys.argv[1].partition(":")
    sys.path.insert(0, os.getcwd())
    app = getattr(importlib.import_module(module), name)
    make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app, handler_class=Quiet).serve_forever()
