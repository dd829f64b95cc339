"""pyftpdlib with a door for each way in. Its one argument is a file: user, password, certificate, key, folder and ports as JSON."""

import json
import sys
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

settings = json.loads(Path(sys.argv[1]).read_text())
guarded, anybody = DummyAuthorizer(), DummyAuthorizer()
guarded.add_user(settings["user"], settings["password"], settings["folder"])
anybody.add_anonymous(settings["folder"])


class Plain(FTPHandler):
    authorizer = guarded
    auth_failed_timeout = 0


class Anonymous(Plain):
    authorizer = anybody


class OnRequest(TLS_FTPHandler):
    authorizer = guarded
    auth_failed_timeout = 0
    tls_control_required = True
    certfile = settings["certificate"]
    keyfile = settings["key"]


class AtOnce(OnRequest):
    def handle(self):
        self.secure_connection(self.get_ssl_context())

    def handle_ssl_established(self):
        super().handle()


loop = IOLoop()
doors = {"plain": Plain, "open": Anonymous, "request": OnRequest, "at_once": AtOnce}
for door, handler in doors.items():
    FTPServer(("127.0.0.1", settings["ports"][door]), handler, ioloop=loop)
loop.loop()
