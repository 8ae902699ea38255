"""A small object store that speaks S3's protocol over HTTP, for a real S3 client to read from.

It answers what a reader asks: HEAD and GET of objects, by ranges too, and listings (ListObjectsV2) with prefix and
delimiter. Requests without a signature are refused, as a private bucket does.
"""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGED = "Sat, 03 Jan 2026 00:00:00 GMT"


@contextlib.contextmanager
def object_store(objects: dict[str, bytes]) -> Iterator[str]:
    """Serve objects, by `bucket/key`; gives the options of an S3 URL that lead to them."""

    class Handler(_Handler):
        store: ClassVar[dict[str, bytes]] = objects

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"endpoint_override=127.0.0.1:{server.server_address[1]}&scheme=http&region=us-east-1"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the server's name for it
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        url = urlsplit(self.path)
        name, query = unquote(url.path).strip("/"), parse_qs(url.query, keep_blank_values=True)
        if "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
            self._send(403, _error("AccessDenied"), body=body)
        elif "list-type" in query:
            self._send(200, self._listing(name, query), body=body)
        elif name in self.store:
            self._object(self.store[name], body=body)
        elif "/" not in name and any(key.startswith(f"{name}/") for key in self.store):
            self._send(200, b"", body=body)
        else:
            self._send(404, _error("NoSuchKey" if "/" in name else "NoSuchBucket"), body=body)

    def _object(self, data: bytes, *, body: bool) -> None:
        wanted = self.headers.get("Range")
        if wanted is None:
            self._send(200, data, body=body)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        begin, end = int(first), min(int(last) + 1 if last else len(data), len(data))
        where = {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}
        self._send(206, data[begin:end], body=body, headers=where)

    def _listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        contents, folders = list[str](), dict[str, None]()
        for name, data in sorted(self.store.items()):
            key = name.removeprefix(f"{bucket}/")
            if key == name or not key.startswith(prefix):
                continue
            below = key[len(prefix) :]
            if delimiter and delimiter in below:
                folders[prefix + below.partition(delimiter)[0] + delimiter] = None
                continue
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
                "<LastModified>2026-01-03T00:00:00.000Z</LastModified></Contents>"
            )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders)
        found = f"<KeyCount>{len(contents) + len(folders)}</KeyCount>{''.join(contents)}{common}"
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()

    def _send(self, status: int, data: bytes, *, body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Last-Modified": CHANGED, "ETag": '"x"', **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
