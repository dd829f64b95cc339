"""What looks like one and is none."""

import sqlite3

import psycopg_pool
from django.db import connection, connections
from sqlalchemy import create_engine

connection("called")
connections["default"].cursor()
sqlite3.connect("file.db").execute("SELECT 1")
with psycopg_pool.connection("not-a-name-of-ours") as conn:
    conn.execute("SELECT 1")
engine.connection
engine.connection.cursor()
some["x"].connection
print("{{ conn.sales.host }}")
load(conn_id="nothing imports dataflow or airflow here")
load(conn_id="helper")
{"conn_id": "plain-dictionary"}
"text".connection("of-a-text")
get_connection("name")
MyHook("react")
