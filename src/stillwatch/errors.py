"""Every error that stillwatch raises on purpose, in one tree.

    StillwatchError
    |- UsageError            what was asked for cannot be done as asked (exit code 2)
    |  |- YamlError          a text is no YAML: carries line and column where known
    |  |- ScenarioError      a scenario file of `simulate` says something wrong
    |  |- DocumentError      a file that people write says something wrong: carries every fault with line, column, field
    |  |  |- PolicyError     a policy
    |  |  `- SettingsError   the settings of a guard
    |  |- FactsError         facts to try a policy on that have no such name or are of the wrong kind
    |  |- UnknownNameError   no campaign or account of that name in the findings, or decision in the ledger
    |  |- LadderError        the ladder does not allow the decision, or the decision no longer stands
    |  |- ShareError         findings that cannot be shared as asked, or not at all
    |  `- NoExamplesError    no example prompts to show: other logs, another key, or logs without prompts
    |- InputError            what was given cannot be read (exit code 3)
    |  |- LogError           a log file: carries path, line and field where known
    |  |- DialectError       no dialect fits the file, or the named one does not
    |  |- FindingsError      a findings file that is not `stillwatch.findings/1`
    |  |- BaselineError      a baseline file that is broken or of another version
    |  |- KeyFileError       the key file is unreadable, too open or too short
    |  |- CountersError      the state of counters is broken or of another version
    |  |- StateError       what guards share cannot be reached, or does not do what it is asked for
    |  |- NetworksError      a database or list of networks cannot be read: carries path and line where known
    |  |- RequestError       a request to a model's API cannot be read: carries the parameter where it is one
    |  |- BundleError        objects to share are too many, too deep, too large or no STIX
    |  |- LedgerError        a ledger that is not there, cannot be reached, or is of another version
    |  |  `- NoLedgerError   there is none yet
    |  |- MaterialError      answers, prompts, canaries or labels of a lineage test: carries path, line and field
    |  |- EvidenceError      an evidence file that is not `stillwatch.lineage/1`, or whose material is not there
    |  |- ChainError         a ledger whose audit trail is not what it was
    |  |- IntelError         a store of shared intelligence that is not there, cannot be reached, or is of other version
    |  |- TaxiiError         what a TAXII server tells a client that it cannot have: carries the HTTP status
    |  |- PollError          a TAXII server of others cannot be reached, refuses, or answers what is no TAXII
    |  |- LineageError       keys of dyes, commitments or a suspect's texts that cannot be read
    |  |- CommitmentError    a key that is not the one that was committed to
    |  `- UpstreamError      the server behind the gateway: not reached, silent, broke off; carries a status
    `- OutputError           results could not be written: disk full, no permission (exit code 3)

Imports nothing of stillwatch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class StillwatchError(Exception):
    """Root of the tree; its text is meant for the person at the terminal."""

    exit_code = 3


class UsageError(StillwatchError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class YamlError(UsageError):
    """A text is no YAML.

    Attributes:
        reason: what is wrong.
        line: counted from 1; None where it is not known.
        column: of the same.
    """

    def __init__(self, reason: str, *, line: int | None = None, column: int | None = None) -> None:
        self.reason, self.line, self.column = reason, line, column
        super().__init__(reason if line is None else f"line {line}: {reason}")


class ScenarioError(UsageError):
    """A scenario file says something wrong; the text names file and field."""


class DocumentFault(NamedTuple):
    """One thing that is wrong with a file: where it stands, counted from 1, which field it is, and why."""

    line: int
    column: int
    field: str
    reason: str

    def __str__(self) -> str:
        what = f"{self.field}: {self.reason}" if self.field else self.reason
        return f"{self.line}:{self.column}: {what}"


class DocumentError(UsageError):
    """A file that people write says something wrong, or says nothing; the text has one fault a line.

    Attributes:
        where: the file, or what it is called.
        faults: all of them, in the order of the text; empty where there is no text at all.
    """

    def __init__(self, where: str, faults: Iterable[DocumentFault], *, reason: str = "") -> None:
        self.where, self.faults = where, tuple(sorted(faults))
        lines = [f"{where}:{fault}" for fault in self.faults] or [f"{where}: {reason}"]
        super().__init__("\n".join(lines))


class PolicyError(DocumentError):
    """A policy says something wrong, or says nothing."""


class SettingsError(DocumentError):
    """The settings of a guard say something wrong, or name what is not there."""


class FactsError(UsageError):
    """Facts that a policy is tried on: no fact has that name, or its value is of the wrong kind."""


class UnknownNameError(UsageError):
    """No campaign or account of that name is in the findings, or no decision of that id in the ledger."""


class MarkingError(UsageError):
    """What was to be published may not go there by its marking, or bears none; the text has one object a line."""


class LadderError(UsageError):
    """The ladder does not allow the decision, or the decision no longer stands; the text gives every reason."""


class NoExamplesError(UsageError):
    """There are no example prompts to show; the text says what is missing."""


class ShareError(UsageError):
    """Findings cannot be shared as asked, or hold something that must not leave; the text never shows what."""


class InputError(StillwatchError):
    """What was given cannot be read."""


class LogError(InputError):
    """A log file, or a row of it under `--strict`, cannot be read.

    Attributes:
        path: the file.
        line: its line or row, counted from 1; None where the whole file is meant.
        field: the column or key; None where the whole row is meant.
    """

    def __init__(self, reason: str, *, path: str, line: int | None = None, field: str | None = None) -> None:
        self.reason, self.path, self.line, self.field = reason, path, line, field
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {field}: {reason}" if field else f"{where}: {reason}")


class DialectError(InputError):
    """No dialect fits the file, or the one that was named does not."""


class FindingsError(InputError):
    """A findings file that is not `stillwatch.findings/1`."""


class BaselineError(InputError):
    """A baseline file that is broken or of another version."""


class KeyFileError(InputError):
    """The key file cannot be read, is open to others, or is too short."""


class CountersError(InputError):
    """The state of counters is broken or of another version."""


class StateError(InputError):
    """The server that guards keep counters on cannot be reached, or does not do what it is asked for.

    Attributes:
        reason: why; names no password.
        place: the server.
    """

    def __init__(self, reason: str, *, place: str) -> None:
        self.reason, self.place = reason, place
        super().__init__(f"{place}: {reason}")


class NetworksError(InputError):
    """A database or list of networks cannot be read.

    Attributes:
        reason: what is wrong.
        path: the file.
        line: counted from 1; None where the whole file is meant.
    """

    def __init__(self, reason: str, *, path: str, line: int | None = None) -> None:
        self.reason, self.path, self.line = reason, path, line
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


class RequestError(InputError):
    """The body of a request to a model's API cannot be read, or could be read in two ways.

    Attributes:
        reason: what is wrong, for whoever sent it.
        parameter: which parameter of the body is meant; None for the whole of it.
    """

    def __init__(self, reason: str, *, parameter: str | None = None) -> None:
        self.reason, self.parameter = reason, parameter
        super().__init__(f"{parameter}: {reason}" if parameter else reason)


class BundleError(InputError):
    """Objects to share, or received, are too many, too deep, too large or no STIX 2.1; the text says which and why."""


class LedgerError(InputError):
    """A ledger that is not there, cannot be reached or written, or is of a version that cannot be read."""


class NoLedgerError(LedgerError):
    """There is no ledger in this place yet."""


class MaterialError(InputError):
    """What a lineage test is made on cannot be read: answers, prompts, canaries, labels.

    Attributes:
        reason: what is wrong.
        path: the file.
        line: counted from 1; None where the whole file is meant.
        field: the key or column; None where the whole line is meant.
    """

    def __init__(self, reason: str, *, path: str, line: int | None = None, field: str | None = None) -> None:
        self.reason, self.path, self.line, self.field = reason, path, line, field
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {field}: {reason}" if field else f"{where}: {reason}")


class EvidenceError(InputError):
    """An evidence file that is not `stillwatch.lineage/1`, or whose material is not there."""


class ChainError(InputError):
    """A ledger whose audit trail is not what it was; the text names the first broken entry."""


class IntelError(InputError):
    """A store of shared intelligence that is not there, cannot be reached or written, or is of another version."""


class TaxiiError(InputError):
    """What a TAXII server tells a client that it cannot have (TAXII 2.1, 3.6.1).

    Attributes:
        status: of HTTP.
        title: what is wrong, in a word or two.
        description: what the client can do about it; shows nothing of what the client may not see.
        retry_after: seconds until it is worth asking again; None if that is not known.
    """

    def __init__(self, status: int, title: str, description: str, *, retry_after: float | None = None) -> None:
        self.status, self.title, self.description, self.retry_after = status, title, description, retry_after
        super().__init__(f"{status} {title}: {description}")


class PollError(InputError):
    """A TAXII server of others cannot be reached, refuses, or answers what is no TAXII 2.1.

    Attributes:
        status: of HTTP; None where there was no answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class LineageError(InputError):
    """A file of dyes' keys, of commitments or of a suspect's texts, or a tokenizer, that cannot be read."""


class CommitmentError(InputError):
    """A key that was not committed to, or is not the one that was; the text says what differs."""


class UpstreamError(InputError):
    """The server behind the gateway cannot be reached, does not answer, or breaks off.

    Attributes:
        status: what a client is told: 502, 503 or 504.

    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class OutputError(StillwatchError):
    """Results could not be written; what was there before is untouched."""
