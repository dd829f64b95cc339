"""Where an engine takes its credentials from: one name of one client, told for one workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from dataflow import _native
from dataflow.workflow import Workflow

if TYPE_CHECKING:
    from pathlib import Path


class Source:
    """Credentials by name, now. Holds no secret itself."""

    __slots__ = ("_client", "_workflow", "name", "sqlite_folder")

    def __init__(
        self,
        client: _native.Client,
        name: str,
        workflow: Workflow | Callable[[], Workflow],
        sqlite_folder: Path | None,
    ) -> None:
        self._client = client
        self.name = name
        self._workflow = workflow
        self.sqlite_folder = sqlite_folder

    @property
    def key(self) -> tuple[int, str]:
        """Equal for sources of the same client and name. Clients live as long as the process, so an id is never used again."""
        return id(self._client), self.name

    def credentials(self) -> _native.Credentials:
        """What the name stands for, at most some seconds old."""
        return self._client.credentials(self.name, self._told())

    def fresh(self) -> _native.Credentials | None:
        """What is held, if it is fresh. Never waits."""
        return self._client.fresh(self.name)

    def is_current(self, fingerprint: str) -> bool:
        """Whether what is held is fresh and of this fingerprint. Never waits."""
        return self._client.is_current(self.name, fingerprint)

    def is_told(self, fingerprint: str) -> bool:
        """The same, and the server knows that this workflow uses it."""
        return self._client.is_current_for(self.name, fingerprint, self._told())

    def refresh(self) -> _native.Credentials:
        """What the name stands for now: the database has just refused what is held."""
        return self._client.refresh(self.name, self._told())

    def _told(self) -> Workflow:
        return self._workflow() if callable(self._workflow) else self._workflow
