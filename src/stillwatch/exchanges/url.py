"""Names of logs that are URLs rather than paths. Pure, and imports nothing slow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SECRET: Final = re.compile(r"^([^/@]*?):[^/@]*@")  # what stands between a name and the @ of a host
_HIDDEN: Final = r"\1@"


def is_url(log: str | Path) -> bool:
    """Whether a log is named by a URL rather than by a path."""
    return isinstance(log, str) and _URL.match(log) is not None


def local_path(log: str | Path) -> Path | None:
    """Return the path on this machine that a name means, `file://` URLs included; None for one in a store."""
    if not is_url(log):
        return Path(log)
    parts = urlsplit(str(log))
    return Path(unquote(parts.path)) if parts.scheme.lower() == "file" and parts.netloc in {"", "localhost"} else None


def without_secrets(url: str) -> str:
    """Return a URL without options and passwords, to be shown."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{_SECRET.sub(_HIDDEN, rest)}"
