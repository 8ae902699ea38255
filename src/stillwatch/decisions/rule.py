"""Rules: when, and then what. Pure."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from stillwatch.decisions.action import Action  # noqa: TC001 - msgspec reads the annotations
from stillwatch.typed_yaml import Part

Name = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$", description="a name of small letters, digits and hyphens")
]


class Rule(Part, frozen=True):
    """One rule of a policy.

    Attributes:
        id: names it, in rulings and in the audit trail.
        when: a condition; `true` stands for always.
        then: what is done where it holds.
        reason: why there is such a rule, for people.
    """

    id: Name
    when: str | bool
    then: Action
    reason: str = ""

    @property
    def condition(self) -> str:
        """The condition as text."""
        return self.when.strip() if isinstance(self.when, str) else str(self.when).lower()
