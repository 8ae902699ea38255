"""Asking a suspect that is known only by its API, OpenAI's chat completions. Touches network, clock and one file.

The answers are kept in a file, a JSON object a line, as they come: an interrupted run is gone on with, and what was
answered is never asked again. One request at a time; `Retry-After` is obeyed, and whatever may pass is tried again with
growing pauses (full jitter; Brooker, "Exponential backoff and jitter", 2015). Needs the extra `lineage`.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from stillwatch.errors import LineageError, OutputError
from stillwatch.lineage.suspect import Said

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

VERSION: Final = "stillwatch.answers/1"
TRIES: Final = 6  # of one prompt
_PASSING: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_HOPELESS: Final = frozenset({401, 403, 404, 405, 410})
_LONGEST: Final = 60.0  # seconds that a pause lasts, whatever the server wishes
_REFUSED_IN_A_ROW: Final = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a suspect is asked.

    Attributes:
        url: the API's base, such as `https://host/v1`.
        model: its name there.
        token: for the Authorization header; none if empty.
        temperature: of sampling.
        max_tokens: of one answer.
        seconds: that one answer may take.

    """

    url: str
    model: str
    token: str = ""
    temperature: float = 1.0
    max_tokens: int = 512
    seconds: float = 120.0

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.model!r})"  # a traceback shows no token


class _Kept(msgspec.Struct):
    schema: str
    number: int
    prompt: str
    model: str
    text: str = ""
    error: str = ""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class _PassingError(Exception):
    """What may go by itself; carries the seconds that the server asks to wait, if it does."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _RefusedError(Exception):
    """This prompt will not be answered."""


def ask(  # noqa: PLR0917  tests hand over the clock by name
    endpoint: Endpoint,
    prompts: Sequence[str],
    answers: Path,
    budget: int,
    report: Callable[[int], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Said, ...]:
    """Ask every prompt that has no answer yet, and give all answers that there are.

    Args:
        endpoint: where.
        prompts: what to ask, in this order.
        answers: file that answers are kept in; is gone on with.
        budget: requests to send at most, those that are tried again included; asking ends there.
        report: is told how many prompts are done.
        pause: waits so many seconds.

    Raises:
        LineageError: the file belongs to other prompts or another model; or the endpoint cannot be reached, refuses
            the key or every prompt, or keeps failing. What was answered is kept.
        OutputError: the file cannot be written.

    """
    kept = _read(answers, endpoint, prompts)
    left = [number for number in range(len(prompts)) if number not in kept]
    report(len(kept))
    asker = _Asker(endpoint, budget, pause, answers)
    try:
        with answers.open("ab") as file, httpx.Client(timeout=endpoint.seconds) as client:
            for number in left:
                found = asker.answer(client, number, prompts[number])
                if found is None:
                    break
                kept[number] = found
                file.write(msgspec.json.encode(found) + b"\n")
                file.flush()
                report(len(kept))
    except OSError as error:
        raise OutputError(f"{answers}: cannot be written: {(error.strerror or str(error)).lower()}") from error
    return tuple(Said(kept[number].text, prompts[number]) for number in sorted(kept) if not kept[number].error)


@dataclass(slots=True)
class _Asker:
    """Asks within a budget."""

    endpoint: Endpoint
    budget: int
    pause: Callable[[float], None]
    answers: Path
    refused: int = 0

    def answer(self, client: httpx.Client, number: int, prompt: str) -> _Kept | None:
        """Ask one prompt; None if the budget is used up."""
        model = self.endpoint.model
        for attempt in range(1, TRIES + 1):
            if self.budget < 1:
                return None
            self.budget -= 1
            try:
                text = _completion(client, self.endpoint, prompt)
            except _PassingError as error:
                if attempt == TRIES:
                    self._stop(f"{error}, {TRIES} times in a row")
                self._wait(attempt, error.wait)
            except _RefusedError as error:
                self.refused += 1
                if self.refused == _REFUSED_IN_A_ROW:
                    self._stop(f"{error}, for {self.refused} prompts in a row")
                return _Kept(VERSION, number, prompt, model, error=str(error))
            except PermissionError as error:
                self._stop(str(error))
            else:
                self.refused = 0
                return _Kept(VERSION, number, prompt, model, text)
        return None

    def _wait(self, attempt: int, asked: float | None) -> None:
        longest = min(_LONGEST, 2.0**attempt)
        chance = secrets.randbelow(1_000) / 1_000
        self.pause(min(asked, _LONGEST) if asked is not None else longest * chance)

    def _stop(self, reason: str) -> None:
        raise LineageError(
            f"{self.endpoint.url}: {reason}; what was answered is kept in {self.answers}: run this again to go on"
        )


def _completion(client: httpx.Client, endpoint: Endpoint, prompt: str) -> str:
    """Ask once.

    Raises:
        _PassingError: it may be answered another time.
        _RefusedError: it will not.
        PermissionError: nothing will.

    """
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": endpoint.temperature,
        "max_tokens": endpoint.max_tokens,
    }
    headers = {"authorization": f"Bearer {endpoint.token}"} if endpoint.token else {}
    try:
        answer = client.post(endpoint.url.rstrip("/") + "/chat/completions", json=body, headers=headers)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise PermissionError(f"no address of an endpoint: {error}") from error
    except httpx.HTTPError as error:
        raise _PassingError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
    if answer.status_code in _HOPELESS:
        raise PermissionError(f"answered {answer.status_code} {answer.reason_phrase}")
    if answer.status_code in _PASSING:
        raise _PassingError(f"answered {answer.status_code}", _seconds(answer.headers.get("retry-after", "")))
    if answer.status_code != httpx.codes.OK:
        raise _RefusedError(f"answered {answer.status_code} {answer.reason_phrase}")
    try:
        choices = msgspec.json.decode(answer.content, type=_Completion).choices
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _PassingError(f"answered what is no chat completion: {error}") from error
    if not choices or not choices[0].message.content:
        raise _RefusedError("answered with no text")
    return choices[0].message.content


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() else None  # dates are passed over for our own pauses


def _read(path: Path, endpoint: Endpoint, prompts: Sequence[str]) -> dict[int, _Kept]:
    """Read what was answered before; a last line that was cut off is taken away."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LineageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    whole = data[: data.rfind(b"\n") + 1]
    kept = {}
    for line, text in enumerate(whole.splitlines(), start=1):
        try:
            each = msgspec.json.decode(text, type=_Kept)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise LineageError(f"{path}:{line}: no answer that was kept: {error}") from error
        if each.schema != VERSION:
            raise LineageError(f"{path}:{line}: this is `{each.schema}`; only `{VERSION}` can be read")
        same = each.number < len(prompts) and prompts[each.number] == each.prompt and each.model == endpoint.model
        if not same:
            raise LineageError(f"{path}:{line}: answers other prompts or another model; name another file")
        kept[each.number] = each
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return kept
