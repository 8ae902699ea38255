"""The server's own description, in OpenAPI 3.1: what may be asked, and in what shape answers come. Pure.

It describes what every member sees; which collections there are is in no description.
"""

from __future__ import annotations

from typing import Any, Final

from stillwatch.intel.taxii import media

_DAY: Final = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_MOMENT: Final = rf"{_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?Z"
_TIME: Final = rf"^{_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{6}}Z$"
_UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_ID: Final = r"^[a-z][a-z0-9-]{1,80}[a-z0-9]--[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_COMMON: Final = ("401", "404", "406", "429", "503")


def description(title: str, largest: int) -> dict[str, Any]:
    """Describe the server."""
    collection, identifier = _path("collection", _text()), _path("id", _text())
    base = "/share/collections/{collection}"
    query = [_query(*each) for each in _FILTERS]
    pages = [each for each in query if each["name"] in {"added_after", "limit", "next", "match[spec_version]"}]
    version = [each for each in query if each["name"] == "match[version]"]
    deletion = [each for each in query if each["name"] in {"match[version]", "match[spec_version]"}]
    paths: dict[str, Any] = {
        "/taxii2/": {"get": _get("discovery", "Server Discovery (4.1)", "discovery")},
        "/share/": {"get": _get("root", "Get API Root Information (4.2)", "api-root")},
        "/share/status/{status}/": {"get": _get("status", "Get Status (4.3)", "status", [_path("status", _text())])},
        "/share/collections/": {"get": _get("collections", "Get Collections (5.1)", "collections")},
        f"{base}/": {"get": _get("collection", "Get a Collection (5.2)", "collection", [collection])},
        f"{base}/manifest/": {
            "get": _get("manifest", "Get Object Manifests (5.3)", "manifest", [collection, *query], ("400", "403"))
        },
        f"{base}/objects/": {
            "get": _get("objects", "Get Objects (5.4)", "envelope", [collection, *query], ("400", "403")),
            "post": _post(collection, largest),
        },
        f"{base}/objects/{{id}}/": {
            "get": _get(
                "object", "Get an Object (5.6)", "envelope", [collection, identifier, *pages, *version], ("400", "403")
            ),
            "delete": _delete([collection, identifier, *deletion]),
        },
        f"{base}/objects/{{id}}/versions/": {
            "get": _get(
                "versions", "Get Object Versions (5.8)", "versions", [collection, identifier, *pages], ("400", "403")
            )
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "2.1", "description": "TAXII 2.1, as this server speaks it."},
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"token": []}, {"basic": []}],
    }


def _text(pattern: str | None = None) -> dict[str, Any]:
    return {"type": "string"} if pattern is None else {"type": "string", "pattern": pattern}


def _several(one: str) -> dict[str, Any]:
    """Describe values with commas between them."""
    return {"type": "string", "pattern": f"^({one})(,({one})){{0,9}}$"}


_FILTERS: Final = (
    ("added_after", {"type": "string", "pattern": f"^{_MOMENT}$"}, "Only what was added after it (3.4)."),
    ("limit", {"type": "integer", "minimum": 1, "maximum": 9_999_999_999}, "At most so many (3.5)."),
    ("next", {"type": "string", "pattern": "^(0|[1-9][0-9]{0,17})$"}, "What an earlier page gave (3.5)."),
    ("match[id]", _several(_ID.strip("^$")), "Identifiers (3.4.1)."),
    ("match[type]", _several("[a-z][a-z0-9-]{1,80}[a-z0-9]"), "Types (3.4.1)."),
    ("match[version]", _several(f"first|last|all|{_MOMENT}"), "Which versions (3.4.1)."),
    ("match[spec_version]", _several(r"[0-9]{1,3}\.[0-9]{1,3}"), "Versions of STIX (3.4.1)."),
)


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": words}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(name: str) -> dict[str, Any]:
    return {media.TAXII: {"schema": _reference(name)}}


def _errors(*statuses: str) -> dict[str, Any]:
    return {
        status: {"description": "An error message (3.6.1).", "content": _content("error")}
        for status in sorted({*_COMMON, *statuses})
    }


def _get(
    name: str, summary: str, schema: str, parameters: list[dict[str, Any]] | None = None, errors: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters or [],
        "responses": {"200": {"description": summary, "content": _content(schema)}, **_errors(*errors)},
    }


def _post(collection: dict[str, Any], largest: int) -> dict[str, Any]:
    return {
        "operationId": "add",
        "summary": "Add Objects (5.5)",
        "description": f"At most {largest} bytes.",
        "parameters": [collection],
        "requestBody": {"required": True, "content": _content("add")},
        "responses": {
            "202": {"description": "What came of it.", "content": _content("status")},
            **_errors("400", "403", "408", "413", "415", "422"),
        },
    }


def _delete(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "operationId": "delete",
        "summary": "Delete an Object (5.7)",
        "parameters": parameters,
        "responses": {"200": {"description": "It is taken out."}, **_errors("400", "403")},
    }


def _schemas() -> dict[str, Any]:
    time, texts = _text(_TIME), {"type": "array", "items": _text(), "minItems": 1}
    paged = {"more": {"type": "boolean"}, "next": _text()}
    told = _object({"id": _text(), "version": _text(), "message": _text()}, "id", "version")
    listed = {"type": "array", "items": told, "minItems": 1}
    count = {"type": "integer", "minimum": 0}
    thing = {"type": "object", "properties": {"id": _text(), "type": _text()}}
    record = _object({"id": _text(_ID), "date_added": time, "version": time, "media_type": _text()}, "id", "date_added")
    collection = {
        "id": _text(_UUID), "title": _text(), "description": _text(), "alias": _text(),
        "can_read": {"type": "boolean"}, "can_write": {"type": "boolean"}, "media_types": texts,
    }  # fmt: skip
    status = {
        "id": _text(_UUID), "status": {"const": "complete"}, "request_timestamp": time, "total_count": count,
        "success_count": count, "failure_count": count, "pending_count": count, "successes": listed, "failures": listed,
    }  # fmt: skip
    return {
        "discovery": _object({"title": _text(), "default": _text(), "api_roots": texts}, "title"),
        "api-root": _object(
            {"title": _text(), "versions": texts, "max_content_length": count},
            "title",
            "versions",
            "max_content_length",
        ),
        "collection": _object(collection, "id", "title", "can_read", "can_write"),
        "collections": _object({"collections": {"type": "array", "minItems": 1, "items": _reference("collection")}}),
        "manifest": _object({**paged, "objects": {"type": "array", "minItems": 1, "items": record}}),
        "envelope": _object({**paged, "objects": {"type": "array", "minItems": 1, "items": thing}}),
        "add": {
            **_object({"objects": {"type": "array", "minItems": 1, "items": {"type": "object"}}}, "objects"),
            "additionalProperties": False,
        },
        "versions": _object({**paged, "versions": {"type": "array", "minItems": 1, "items": time}}),
        "status": _object(status, "id", "status", "total_count", "success_count", "failure_count", "pending_count"),
        "error": _object({"title": _text(), "description": _text(), "http_status": _text()}, "title"),
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}
