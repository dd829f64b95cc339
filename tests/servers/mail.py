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


class Inbox:
    """Keeps each mail in a file, and takes none for who is called nobody."""

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - aiosmtpd calls it so
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 taken"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd calls it so
        folder = Path(settings["folder"])
        number = len(list(folder.glob("mail-*.json")))
        kept = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.content.decode()}
        (folder / f"mail-{number}.tmp").write_text(json.dumps(kept))
        (folder / f"mail-{number}.tmp").rename(folder / f"mail-{number}.json")
        return "250 kept"


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(settings["certificate"], settings["key"])
doors = {
    "plain": {"authenticator": authenticate, "auth_require_tls": False},
    "request": {"authenticator": authenticate, "tls_context": context, "require_starttls": True},
    "at_once": {"authenticator": authenticate, "auth_require_tls": False, "ssl_context": context},
    "open": {"auth_exclude_mechanism": ["PLAIN", "LOGIN"]},
}
for door, options in doors.items():
    Controller(Inbox(), hostname="127.0.0.1", port=settings["ports"][door], **options).start()
threading.Event().wait()
