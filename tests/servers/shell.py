"""asyncssh with a door for each way in. Its one argument is a file: user, password, folder and ports as JSON.

It writes its host key's public half (host.pub) and a private key of the user's, encrypted with the password (user.key), into the folder.
"""

import asyncio
import json
import sys
from pathlib import Path

import asyncssh

settings = json.loads(Path(sys.argv[1]).read_text())
folder = Path(settings["folder"])
known = [settings["user"], settings["password"]]
host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
(folder / "host.pub").write_bytes(host.export_public_key())
(folder / "user.key").write_bytes(user.export_private_key(passphrase=settings["password"], rounds=16))
authorized = asyncssh.import_authorized_keys(user.export_public_key().decode())


class Guarded(asyncssh.SSHServer):
    takes_passwords = True

    def begin_auth(self, _username):
        return True

    def password_auth_supported(self):
        return self.takes_passwords

    def validate_password(self, username, password):
        return [username, password] == known

    def kbdint_auth_supported(self):
        return False

    def connection_requested(self, host, _port, _from_host, _from_port):
        if host.startswith("prohibited."):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not there")
        return True


class Keys(Guarded):
    takes_passwords = False


class Open(Guarded):
    def begin_auth(self, _username):
        return False


class Asks(Keys):
    """The password is the answer to a question, as with PAM."""

    factors = False
    asked = 0

    def kbdint_auth_supported(self):
        return True

    def get_kbdint_challenge(self, username, _language, _submethods):
        self.username, self.asked = username, 0
        return ("", "", "", [("Password: ", False)])

    def validate_kbdint_response(self, username, responses):
        self.asked += 1
        if [username, *responses] != known:
            # As some do, it asks once more before it gives up.
            return False if self.asked > 1 else ("", "", "", [("Password: ", False)])
        return ("", "", "", [("One-time code: ", False)]) if self.factors else True


class Factors(Asks):
    factors = True


async def serve():
    for door, factory in {"plain": Guarded, "keys": Keys, "open": Open, "asks": Asks, "factors": Factors}.items():
        port = settings["ports"][door]
        options = {"server_host_keys": [host], "authorized_client_keys": authorized, "sftp_factory": True}
        await asyncssh.listen("127.0.0.1", port, server_factory=factory, **options)
    await asyncio.Event().wait()


asyncio.run(serve())
