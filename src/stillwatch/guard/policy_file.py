"""Policies from files, or from those that come with stillwatch. Touches: the file it is given."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from stillwatch.decisions.policy import parse_policy
from stillwatch.errors import PolicyError

if TYPE_CHECKING:
    from stillwatch.decisions.policy import Policy


def bundled() -> tuple[str, ...]:
    """Name the policies that come with stillwatch."""
    folder = resources.files("stillwatch").joinpath("policies")
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_policy(source: str | Path) -> Policy:
    """Read a policy from a file, or one of the bundled ones by name.

    Raises:
        PolicyError: no such file or name, or the policy is empty or says something wrong; it has every fault.

    """
    if isinstance(source, str) and source in bundled():
        text = resources.files("stillwatch").joinpath("policies", f"{source}.yaml").read_text(encoding="utf-8")
        return parse_policy(text, where=f"policy {source}")
    try:
        text = Path(source).read_text(encoding="utf-8")
    except FileNotFoundError:
        reason = f"no such file, and no bundled policy of that name ({', '.join(bundled())})"
        raise PolicyError(str(source), (), reason=reason) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(str(source), (), reason=f"cannot be read: {error}") from error
    return parse_policy(text, where=str(source))
