"""aiosmtpd with a door for each way in. Its one argument is a file: user, password, certificate, key and ports as JSON."""

import json
import ssl
import sys
import threading
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

settings = json.loads(Path(sys.argv[1]).read_text())


def authenticate(_server, _session, _envelope, _mechanism, data):
    is_right = isinstance(data, LoginPassword) and [data.login, data.password] == [
        settings["user"].encode(),
        settings["password"].encode(),
    ]
    return AuthResult(success=is_right, handled=False)


class Nothing:
    """Takes no mail."""

    async def handle_DATA(self, _server, _session, _envelope):  # noqa: N802 - aiosmtpd calls it so
        return "554 no mail here"


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(settings["certificate"], settings["key"])
doors = {
    "plain": {"authenticator": authenticate, "auth_require_tls": False},
    "request": {"authenticator": authenticate, "tls_context": context, "require_starttls": True},
    "at_once": {"authenticator": authenticate, "auth_require_tls": False, "ssl_context": context},
    "open": {"auth_exclude_mechanism": ["PLAIN", "LOGIN"]},
}
for door, options in doors.items():
    Controller(Nothing(), hostname="127.0.0.1", port=settings["ports"][door], **options).start()
threading.Event().wait()
