"""Writes the sample database of `make run`: a small shop, the same on every machine."""

from __future__ import annotations

import random
import sqlite3
import sys
from datetime import date, timedelta
from pathlib import Path

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price_cents INTEGER NOT NULL);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (id),
  product_id INTEGER NOT NULL REFERENCES products (id),
  quantity INTEGER NOT NULL,
  ordered_on TEXT NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE VIEW revenue_by_month AS
  SELECT substr(ordered_on, 1, 7) AS month, SUM(quantity * price_cents) AS cents
  FROM orders JOIN products ON products.id = product_id GROUP BY month;
"""
FIRST_NAMES = ["Ada", "Blaise", "Carl", "Dorothy", "Emmy", "Felix", "Grace", "Hedy", "Ida", "Joan", "Karen", "Leonhard"]
LAST_NAMES = ["Archer", "Baker", "Cooper", "Draper", "Fisher", "Glover", "Mason", "Potter", "Sawyer", "Weaver"]
CITIES = ["Berlin", "Lisbon", "Nairobi", "Osaka", "Quito", "Toronto"]
PRODUCTS = [("Notebook", 450), ("Pencil", 120), ("Lamp", 3_900), ("Desk", 24_900), ("Chair", 11_900), ("Clock", 2_750)]
FIRST_DAY = date(2025, 1, 1)


def write(path: Path) -> None:
    """Makes the file whole or not at all: a reader never meets half of it."""
    chance = random.Random(1)  # noqa: S311 - sample data, not secrets
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    database = sqlite3.connect(part)
    with database:
        database.executescript(SCHEMA)
        database.executemany(
            "INSERT INTO customers (name, city, since) VALUES (?, ?, ?)",
            [
                (f"{first} {last}", chance.choice(CITIES), str(FIRST_DAY - timedelta(days=chance.randrange(1_000))))
                for first in FIRST_NAMES
                for last in LAST_NAMES
            ],
        )
        database.executemany("INSERT INTO products (name, price_cents) VALUES (?, ?)", PRODUCTS)
        database.executemany(
            "INSERT INTO orders (customer_id, product_id, quantity, ordered_on) VALUES (?, ?, ?, ?)",
            [
                (
                    chance.randint(1, len(FIRST_NAMES) * len(LAST_NAMES)),
                    chance.randint(1, len(PRODUCTS)),
                    chance.randint(1, 5),
                    str(FIRST_DAY + timedelta(days=chance.randrange(365))),
                )
                for _ in range(2_000)
            ],
        )
    database.close()
    part.rename(path)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
