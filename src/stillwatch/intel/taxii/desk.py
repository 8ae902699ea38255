"""What the server does with a request that is let in: one method an endpoint (TAXII 2.1, 4 and 5). Touches the store.

A collection that a member may not see is looked for among those that the member sees, as one that does not exist is:
same steps, same answer.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from stillwatch.errors import BundleError, TaxiiError
from stillwatch.intel import document
from stillwatch.intel.moment import now_micros
from stillwatch.intel.shape import is_id
from stillwatch.intel.taxii import adding, answer, filters, media, objects, statuses
from stillwatch.intel.taxii.collections import SharedCollection, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from stillwatch.database.store import Database
    from stillwatch.intel.taxii.answer import Answer
    from stillwatch.intel.taxii.asked import Asked

DISCOVERY: Final = "taxii2"
ROOT: Final = "share"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Desk:
    """Answers the requests of members.

    Args:
        title: of the server, told to members.
        page: the most objects on a page.
        largest: the most bytes of a request's body, told to members as `max_content_length`.
        clock: microseconds since 1970.

    """

    def __init__(self, title: str, *, page: int, largest: int, clock: Callable[[], int] = now_micros) -> None:
        self._title, self._page, self._largest, self._clock = title, page, largest, clock

    def answer(self, database: Database, member: str, asked: Asked, body: bytes) -> Answer:
        """Do what is asked.

        Raises:
            TaxiiError: it cannot be done.

        """
        match asked.path:
            case ("taxii2",):
                _require(asked, "GET")
                return answer.resource(self._discovery())
            case ("share",):
                _require(asked, "GET")
                return answer.resource(self._root())
            case ("share", "status", identifier):
                _require(asked, "GET")
                return _status(database, member, identifier)
            case ("share", "collections"):
                _require(asked, "GET")
                seen = [_described(each) for each in seen_by(member, database)]
                return answer.resource({"collections": seen} if seen else {})
            case ("share", "collections", name, *rest) if len(rest) <= 3:
                return self._collection((database, member), asked, body, name, rest)
        raise _missing()

    def _collection(self, who: tuple[Database, str], asked: Asked, body: bytes, name: str, rest: list[str]) -> Answer:
        database, member = who
        found = next((each for each in seen_by(member, database) if name in {each.id, each.alias}), None)
        if found is None:
            raise _missing()
        match rest:
            case []:
                _require(asked, "GET")
                return answer.resource(_described(found))
            case ["manifest"]:
                _require(asked, "GET")
                _may_read(found)
                wanted = filters.wanted_from(asked.query, filters.OBJECTS, page=self._page)
                return answer.manifest(objects.page(database, found.number, wanted, whole=False))
            case ["objects"]:
                _require(asked, "GET", "POST")
                return (
                    self._add(database, member, found, body)
                    if asked.method == "POST"
                    else self._get(database, found, asked)
                )
            case ["objects", identifier]:
                _require(asked, "GET", "DELETE")
                if asked.method == "DELETE":
                    return _delete(database, member, found, asked, identifier)
                return self._get_one(database, found, asked, identifier)
            case ["objects", identifier, "versions"]:
                _require(asked, "GET")
                return self._versions(database, found, asked, identifier)
        raise _missing()

    def _get(self, database: Database, found: SharedCollection, asked: Asked) -> Answer:
        _may_read(found)
        wanted = filters.wanted_from(asked.query, filters.OBJECTS, page=self._page)
        return answer.objects(objects.page(database, found.number, wanted, whole=True))

    def _get_one(self, database: Database, found: SharedCollection, asked: Asked, identifier: str) -> Answer:
        _may_read(found)
        wanted = filters.wanted_from(_of(identifier, asked), _OF_ONE, page=self._page)
        _require_there(database, found, identifier)
        return answer.objects(objects.page(database, found.number, wanted, whole=True))

    def _versions(self, database: Database, found: SharedCollection, asked: Asked, identifier: str) -> Answer:
        _may_read(found)
        wanted = filters.wanted_from(_of(identifier, asked), _OF_VERSIONS, page=self._page, versions=("all",))
        _require_there(database, found, identifier)
        return answer.versions(objects.page(database, found.number, wanted, whole=False))

    def _add(self, database: Database, member: str, found: SharedCollection, body: bytes) -> Answer:
        _may_write(found)
        try:
            envelope = document.cut(
                str(body, "utf-8").encode(), "The envelope"
            )  # all of it must be UTF-8 (RFC 8259, 8.1)
        except BundleError as error:
            raise TaxiiError(400, "Bad Request", f"{error}.") from None
        except UnicodeDecodeError:
            raise TaxiiError(400, "Bad Request", "The envelope is no UTF-8.") from None
        if envelope.type or not envelope.objects:
            raise TaxiiError(422, "Unprocessable Content", "Send an envelope with `objects`; a bundle is none.")
        if any(bytes(memoryview(each)[:1]) != b"{" for each in envelope.objects):
            raise TaxiiError(400, "Bad Request", "What `objects` holds are no objects.")
        items = list(document.items(envelope))
        with database.writing():
            told = adding.add(database, found, member, items, clock=self._clock)
            return answer.Answer(202, statuses.keep(database, member, told, self._clock()))

    def _discovery(self) -> dict[str, Any]:
        root = f"/{ROOT}/"
        return {"title": self._title, "default": root, "api_roots": [root]}

    def _root(self) -> dict[str, Any]:
        return {"title": self._title, "versions": [media.TAXII], "max_content_length": self._largest}


_OF_ONE: Final = filters.ONE_OBJECT | {"match[id]"}  # put there by the path, below
_OF_VERSIONS: Final = filters.VERSIONS | {"match[id]"}


def _of(identifier: str, asked: Asked) -> bytes:
    """Make the object that a path names one of the filters; if a query names another as well, it is said twice."""
    if not is_id(identifier):
        raise _missing()
    return b"match[id]=" + identifier.encode() + b"&" * bool(asked.query) + asked.query


def _delete(database: Database, member: str, found: SharedCollection, asked: Asked, identifier: str) -> Answer:
    _may_read(found)
    _may_write(found)
    wanted = filters.wanted_from(asked.query, filters.DELETION, versions=("all",))
    if wanted.none or not is_id(identifier):
        raise _missing()
    with database.writing():
        adding.withdraw(database, found, member, identifier, wanted.versions)
    return answer.Answer(200)


def _status(database: Database, member: str, identifier: str) -> Answer:
    name = identifier.lower()
    content = statuses.status(database, member, str(uuid.UUID(name))) if _UUID.fullmatch(name) else None
    if content is None:
        raise _missing()
    return answer.Answer(200, content)


def _described(found: SharedCollection) -> dict[str, Any]:
    return {
        "id": found.id,
        "title": found.title,
        "description": found.description,
        "alias": found.alias,
        "can_read": found.can_read,
        "can_write": found.can_write,
        "media_types": [media.STIX],
    }


def _require(asked: Asked, *methods: str) -> None:
    if asked.method not in methods and not (asked.method == "HEAD" and "GET" in methods):
        raise MethodError(methods)


class MethodError(TaxiiError):
    """The endpoint knows no such method."""

    def __init__(self, methods: tuple[str, ...]) -> None:
        self.allow = ", ".join((*methods, *(("HEAD",) if "GET" in methods else ())))
        super().__init__(405, "Method Not Allowed", f"Allowed here: {self.allow}.")


def _require_there(database: Database, found: SharedCollection, identifier: str) -> None:
    if not objects.exists(database, found.number, identifier):
        raise _missing()


def _may_read(found: SharedCollection) -> None:
    if not found.can_read:
        raise TaxiiError(403, "Forbidden", "You may not read this collection.")


def _may_write(found: SharedCollection) -> None:
    if not found.can_write:
        raise TaxiiError(403, "Forbidden", "You may not write to this collection.")


def _missing() -> TaxiiError:
    return TaxiiError(404, "Not Found", "There is nothing here that you may see.")
