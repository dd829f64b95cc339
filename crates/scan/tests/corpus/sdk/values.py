"""Names that are followed."""

import os
from enum import Enum
from os import environ

from dataflow.dataflow import Dataflow
from settings import IMPORTED

dataflow = Dataflow()
CONN = "constant"
TYPED: str = "typed-constant"
A, B = "tuple-a", "tuple-b"
PREFIX = "pre"
JOINED = PREFIX + "_" + CONN
FORMATTED = f"{PREFIX}.{CONN}"
IN_BRACKETS = (
    "long"
    "-name"
)
BY_REGION = {"eu": "sales_eu", "us": "sales_us"}
NAMES = ["list-a", "list-b"]
PAIRS = [("pair-a", 1), ("pair-b", 2)]

dataflow.connection(CONN)  #> constant
dataflow.connection(TYPED)  #> typed-constant
dataflow.connection(A)  #> tuple-a
dataflow.connection(B)  #> tuple-b
dataflow.connection(JOINED)  #> pre_constant
dataflow.connection(FORMATTED)  #> pre.constant
dataflow.connection(IN_BRACKETS)  #> long-name
dataflow.connection("adja" "cent")  #> adjacent
dataflow.connection(f"f-{CONN}")  #> f-constant
dataflow.connection(BY_REGION["eu"])  #> sales_eu
dataflow.connection(BY_REGION[zone])  #> sales_eu?, sales_us?
dataflow.connection(CONN if flag else "other")  #> constant?, other?
dataflow.connection(given or "fallback")  #> fallback?
dataflow.connection(os.getenv("X", "from-getenv"))  #> from-getenv?
dataflow.connection(environ.get("X", default="from-environ"))  #> from-environ?
dataflow.connection(os.environ.get("X") or "behind-or")  #> behind-or?
dataflow.connection(os.environ["X"])  #> ??
dataflow.connection(parser.get("section", "SALES_CONN_ID"))  #> ??
dataflow.connection(IMPORTED)  #> ??
dataflow.connection(f"sales_{zone}")  #> ??
dataflow.connection("sales_%s" % zone)  #> ??
dataflow.connection("sales_{}".format(zone))  #> ??
dataflow.connection("sales_" + zone)  #> ??
dataflow.connection(f"{CONN!r}")  #> ??
dataflow.connection(compute())  #> ??
dataflow.connection(f"of_{region}")  #> of_eu?, of_us?

for name in NAMES:
    dataflow.connection(name)  #> list-a, list-b
for name, number in PAIRS:
    dataflow.connection(name)  #> pair-a, pair-b
for index, name in enumerate(sorted(NAMES)):
    dataflow.connection(name)  #> list-a, list-b
for region, name in BY_REGION.items():
    dataflow.connection(name)  #> sales_eu, sales_us
    dataflow.connection(f"to_{region}")  #> to_eu, to_us
for name in unknown_names():
    dataflow.connection(name)  #> ??

if production:
    TARGET = "prod"
else:
    TARGET = "dev"
dataflow.connection(TARGET)  #> prod?, dev?

AGAIN = "first"
dataflow.connection(AGAIN)  #> first
AGAIN = "second"
dataflow.connection(AGAIN)  #> second
if production:
    AGAIN = "third"
    dataflow.connection(AGAIN)  #> third
dataflow.connection(AGAIN)  #> second?, third?
try:
    SAME = "same"
except ValueError:
    SAME = "same"
dataflow.connection(SAME)  #> same
CHANGED = "changed"
CHANGED += suffix
dataflow.connection(CHANGED)  #> ??
LOOP = LOOP + "x"
dataflow.connection(LOOP)  #> ??


class Names(Enum):
    SALES = "enum-sales"


class Settings:
    conn = "setting"


dataflow.connection(Names.SALES.value)  #> enum-sales
dataflow.connection(Settings.conn)  #> setting


def load(conn="default", *, other: str = "keyword-default", CONN=CONN, needed):
    dataflow.connection(conn)  #> default?
    dataflow.connection(other)  #> keyword-default?
    dataflow.connection(CONN)  #> constant?
    dataflow.connection(needed)  #> ??
    local = "local"

    def inner():
        global TOP
        TOP = "top"
        return dataflow.connection(local)  #> local

    return inner


dataflow.connection(TOP)  #> top
dataflow.connection(local)  #> ??
