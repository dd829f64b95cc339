"""Signs in to the fakes with clients that others wrote. Its one argument is JSON: ports, user, a right and a wrong password.

It ends well if each client took the fake for what it plays: in with the right password, and refused with the wrong one.
"""

import json
import sys
from collections.abc import Callable

import pymongo
from cassandra import AuthenticationFailed
from cassandra.auth import PlainTextAuthProvider
from cassandra.connection import DefaultEndPoint
from cassandra.protocol import QueryMessage
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from pymongo.errors import OperationFailure

try:
    from cassandra.io.asyncorereactor import AsyncoreConnection as CqlConnection
except Exception:  # From Python 3.12 on that is not there, and the driver says so in several ways.
    from cassandra.io.asyncioreactor import AsyncioConnection as CqlConnection

settings = json.loads(sys.argv[1])
HOST, USER = "127.0.0.1", settings["user"]


def mongo(password: str, _is_right: bool) -> str | None:
    client = pymongo.MongoClient(HOST, settings["mongo"], username=USER, password=password, directConnection=True)
    with client:
        try:
            client["sales"].list_collection_names()
            return client.server_info()["version"]
        except OperationFailure as refused:
            if refused.code != 18:
                raise
            return None


def cassandra(password: str, _is_right: bool) -> str | None:
    authenticator = PlainTextAuthProvider(USER, password).new_authenticator(HOST)
    endpoint = DefaultEndPoint(HOST, settings["cassandra"])
    try:
        connection = CqlConnection.factory(endpoint, 10, protocol_version=4, authenticator=authenticator)
    except AuthenticationFailed:
        return None
    connection.set_keyspace_blocking("sales")
    query = "SELECT release_version, cluster_name FROM system.local"
    answer = connection.wait_for_response(QueryMessage(query=query, consistency_level=1))
    connection.close()
    return answer.parsed_rows[0][0]


def kafka(mechanism: str) -> Callable[[str, bool], str | None]:
    def sign_in(password: str, is_right: bool) -> str | None:
        try:
            client = KafkaAdminClient(
                bootstrap_servers=f"{HOST}:{settings['kafka']}",
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism=mechanism,
                sasl_plain_username=USER,
                sasl_plain_password=password,
                # Who is refused tries again until this is over.
                bootstrap_timeout_ms=20_000 if is_right else 500,
            )
        except KafkaError:
            return None
        client.close()
        return "in"

    return sign_in


CqlConnection.initialize_reactor()
clients = {"mongo": mongo, "cassandra": cassandra}
clients |= {mechanism: kafka(mechanism) for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")}
for name, sign_in in clients.items():
    if not sign_in(settings["right"], True):
        sys.exit(f"{name}: the right password was not taken")
    if sign_in(settings["wrong"], False):
        sys.exit(f"{name}: the wrong password was taken")
