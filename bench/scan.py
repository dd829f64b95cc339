"""What `dataflow scan` is held against: Python's own parser over every Python file of a folder, looking for calls alone.

scan.py FOLDER: prints how many calls name a connection.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path


def names(path: Path) -> int:
    count = 0
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            is_method = isinstance(node.func, ast.Attribute) and node.func.attr == "connection"
            count += is_method or any((keyword.arg or "").endswith("conn_id") for keyword in node.keywords)
    return count


if __name__ == "__main__":
    print(sum(names(path) for path in Path(sys.argv[1]).rglob("*.py")))
