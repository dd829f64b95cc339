"""What may run a program, one file for each sort of it: schedulers, notebooks, and programs by themselves.

Each finder gives the workflow, or `None` where it is not what runs this code. Packages are only looked up in `sys.modules`, never
imported to find out. A finder may raise: the insides of a package differ between its versions, and `workflow.current` goes on to
the next one.
"""

from __future__ import annotations

from typing import Optional

Workflow = tuple[str, str, Optional[str]]
"""Kind (`pipeline`, `notebook`, `app`, `script`), name, run."""
