"""The SDK beside SQLAlchemy alone: a session and `SELECT 1`, warm, and what importing costs. Prints JSON; `make bench` runs it.

sdk.py CONNECTION SQLALCHEMY_URL…: pairs of a connection's name and the URL of the same database.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Callable

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from dataflow.dataflow import Dataflow

ROUNDS = 60
TURNS = 50
IMPORTS = 15
SELECT = text("SELECT 1")


def turn(make_session: Callable[[], Session]) -> None:
    with make_session() as session:
        session.execute(SELECT).fetchone()


def microseconds(make_session: Callable[[], Session]) -> float:
    """The time of one turn, as the mean of some."""
    begun = time.perf_counter()
    for _ in range(TURNS):
        turn(make_session)
    return (time.perf_counter() - begun) / TURNS * 1e6


def session(name: str, url: str) -> dict[str, object]:
    """Both by turns, so that what else this machine does reaches both."""
    engine = create_engine(url)
    ours, theirs = [], []
    sides = [(ours, lambda: Dataflow().connection(name)), (theirs, lambda: Session(engine))]
    for _, make in sides:
        microseconds(make)
    for number in range(ROUNDS):
        for times, make in sides if number % 2 else reversed(sides):
            times.append(microseconds(make))
    engine.dispose()
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    return {"name": name, "ours": statistics.median(ours), "theirs": statistics.median(theirs), "ratio": ratio}


def importing(statement: str) -> float:
    """Milliseconds in a fresh interpreter, which measures itself: its own start is not in it."""
    code = f"import time; begun = time.perf_counter(); {statement}; print((time.perf_counter() - begun) * 1e3)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 - our own code
    return float(done.stdout)


def imports() -> dict[str, float]:
    statements = {"dataflow": "from dataflow.dataflow import Dataflow", "sqlalchemy": "import sqlalchemy"}
    times: dict[str, list[float]] = {name: [] for name in statements}
    for number in range(IMPORTS + 1):
        for name, statement in statements.items():
            took = importing(statement)
            # The first run writes byte code and reads the disk.
            if number:
                times[name].append(took)
    return {name: statistics.median(measured) for name, measured in times.items()}


if __name__ == "__main__":
    pairs = zip(sys.argv[1::2], sys.argv[2::2])
    print(json.dumps({"sessions": [session(name, url) for name, url in pairs], "imports": imports()}))
