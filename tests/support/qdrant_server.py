"""A server that speaks Qdrant's REST interface, over the embedded engine, for the official client.

    python tests/support/qdrant_server.py FOLDER PORT

It has the operations that ``QdrantServerStore`` uses, one process and one segment; no replication,
no access control. ``PATCH`` of a collection builds its search graph, which a real server does in
the background. Source: https://api.qdrant.tech/api-reference
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import qdrant_edge as edge
from free_ports import free_port

from kvasir.components.stores.qdrant_edge_graph import edge_config

_SCHEMAS = {"keyword": edge.PayloadSchemaType.Keyword, "float": edge.PayloadSchemaType.Float}
_FLUSH_EVERY = 5_000
_NO_TERMS = edge.SparseVector([], [])


class RefusedError(Exception):
    """An operation that cannot be done; its status and a reason."""


class Collection:
    """One collection: the engine's shard, and what its creator asked for."""

    def __init__(self, folder: Path, config: dict[str, Any] | None = None) -> None:
        about, data = folder / "collection.json", folder / "shard"
        if config is not None:
            data.mkdir(parents=True)
            about.write_text(json.dumps(config), "utf-8")
        self.config = json.loads(about.read_text("utf-8"))
        (self.dense,) = self.config["vectors"]
        (self.sparse,) = self.config["sparse_vectors"]
        form = edge_config(self.config["vectors"][self.dense]["size"])
        path = str(data)
        self.shard = edge.EdgeShard.load(path, form) if config is None else _made(path, form)
        self.folder, self.writing = folder, threading.Lock()
        self._unflushed = 0

    def info(self) -> dict[str, Any]:
        """Return the description of the collection."""
        found = self.shard.info()
        names = {"Keyword": "keyword", "Float": "float"}
        schema = {
            field: {"data_type": names[str(kind).rpartition(".")[2]], "points": 0}
            for field, kind in self._schema().items()
        }
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": found.points_count,
            "segments_count": 1,
            "config": {
                "params": {
                    "vectors": self.config["vectors"],
                    "sparse_vectors": self.config["sparse_vectors"],
                },
                "hnsw_config": {"m": 16, "ef_construct": 128, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 1,
                    "flush_interval_sec": 5,
                },
                "metadata": self.config.get("metadata") or {},
            },
            "payload_schema": schema,
        }

    def _schema(self) -> dict[str, str]:
        return self.config.setdefault("indexes", {})

    def index(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create an index on a payload field."""
        field, kind = body["field_name"], body["field_schema"]
        with self.writing:
            self.shard.update(edge.UpdateOperation.create_field_index(field, _SCHEMAS[kind]))
            self._schema()[field] = kind.capitalize()
            (self.folder / "collection.json").write_text(json.dumps(self.config), "utf-8")
        return _completed()

    def upsert(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write points."""
        points = [
            edge.Point(
                each["id"],
                {name: _vector(vector) for name, vector in each["vector"].items()},
                each.get("payload") or {},
            )
            for each in body["points"]
        ]
        with self.writing:
            self.shard.update(edge.UpdateOperation.upsert_points(points))
            self._unflushed += len(points)
            if self._unflushed >= _FLUSH_EVERY:  # Else all would be replayed after a kill.
                self.shard.flush()
                self._unflushed = 0
        return _completed()

    def _known(self, ids: list[str]) -> list[str]:
        return [str(record.id) for record in self.shard.retrieve(ids, False, False)]

    def delete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Delete points by id."""
        with self.writing:
            ids = self._known(body["points"])
            # The engine would count their terms until it is opened again.
            empty = [edge.PointVectors(each, {self.sparse: _NO_TERMS}) for each in ids]
            if ids:
                self.shard.update(edge.UpdateOperation.update_vectors(empty))
                self.shard.update(edge.UpdateOperation.delete_points(ids))
        return _completed()

    def set_payload(self, body: dict[str, Any]) -> dict[str, Any]:
        """Replace fields of the payload of points."""
        with self.writing:
            ids = self._known(body["points"])
            if ids:
                self.shard.update(edge.UpdateOperation.set_payload(ids, body["payload"]))
        return _completed()

    def retrieve(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return points by id."""
        payload, vector = body.get("with_payload", True), body.get("with_vector", False)
        return [_record(each) for each in self.shard.retrieve(body["ids"], payload, vector)]

    def scroll(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return points in the order of ids, and where to go on."""
        request = edge.ScrollRequest(
            offset=body.get("offset"),
            limit=body.get("limit", 10),
            filter=_filter(body.get("filter")),
            with_payload=body.get("with_payload", True),
            with_vector=body.get("with_vector", False),
        )
        records, offset = self.shard.scroll(request)
        follows = None if offset is None else str(offset)
        return {"points": [_record(each) for each in records], "next_page_offset": follows}

    def count(self, body: dict[str, Any]) -> dict[str, int]:
        """Count points."""
        request = edge.CountRequest(
            exact=body.get("exact", True), filter=_filter(body.get("filter"))
        )
        return {"count": self.shard.count(request)}

    def query(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Do the searches of a batch."""
        return [{"points": self._nearest(each)} for each in body["searches"]]

    def _nearest(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        request = edge.QueryRequest(
            limit=body.get("limit", 10),
            query=_query(body),
            filter=_filter(body.get("filter")),
            prefetches=[self._prefetch(each) for each in _list(body.get("prefetch"))],
            with_payload=body.get("with_payload") or False,
            with_vector=body.get("with_vector") or False,
        )
        found = self.shard.query(request)
        return [{"id": str(each.id), "version": 0, "score": each.score} for each in found]

    def _prefetch(self, body: dict[str, Any]) -> edge.Prefetch:
        return edge.Prefetch(
            query=_query(body), limit=body.get("limit", 10), filter=_filter(body.get("filter"))
        )

    def optimize(self, body: dict[str, Any]) -> bool:
        """Build the search graph."""
        with self.writing:
            self.shard.optimize()
            self.shard.flush()
        return True

    def close(self) -> None:
        """Write everything to the disk and close it."""
        self.shard.flush()
        self.shard.close()


def _made(path: str, form: edge.EdgeConfig) -> edge.EdgeShard:
    shard = edge.EdgeShard.create(path, form)
    shard.flush()
    return shard


def _completed() -> dict[str, Any]:
    return {"operation_id": 0, "status": "completed"}


def _list(given: Any) -> list[Any]:
    return [] if given is None else given if isinstance(given, list) else [given]


def _vector(given: Any) -> Any:
    return edge.SparseVector(given["indices"], given["values"]) if "indices" in given else given


def _query(body: dict[str, Any]) -> edge.Query:
    given = body["query"]
    given = given["nearest"] if isinstance(given, dict) and "nearest" in given else given
    return edge.Query.Nearest(_vector(given), body["using"])


def _record(found: edge.Record) -> dict[str, Any]:
    vector = found.vector
    if isinstance(vector, dict):
        vector = {name: each for name, each in vector.items() if isinstance(each, list)}
    return {"id": str(found.id), "payload": found.payload, "vector": vector or None}


def _filter(given: dict[str, Any] | None) -> edge.Filter | None:
    if given is None:
        return None
    parts = {key: _list(value) for key, value in given.items() if value is not None}
    if unknown := parts.keys() - {"must", "should", "must_not"}:
        raise RefusedError(400, f"no filter has {', '.join(unknown)}")
    return edge.Filter(**{key: [_condition(e) for e in each] for key, each in parts.items()})


def _condition(given: dict[str, Any]) -> Any:
    if "key" not in given:
        return _filter(given)
    if given.get("range") is not None:
        limits = {key: value for key, value in given["range"].items() if value is not None}
        return edge.FieldCondition(key=given["key"], range=edge.RangeFloat(**limits))
    match = given["match"]
    found = edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
    return edge.FieldCondition(key=given["key"], match=found)


class QdrantRest(ThreadingHTTPServer):
    """The server: every collection has a folder of its own."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._collections: dict[str, Collection] = {}
        self._opening = threading.Lock()
        super().__init__(("127.0.0.1", port), _Requests)

    def _place(self, name: str) -> Path:
        return self._folder / sha256(name.encode()).hexdigest()[:32]

    def find(self, name: str) -> Collection | None:
        """Return a collection, or None."""
        with self._opening:
            if name not in self._collections and self._place(name).is_dir():
                self._collections[name] = Collection(self._place(name))
            return self._collections.get(name)

    def collection(self, name: str) -> Collection:
        """Return a collection; raise ``RefusedError`` if there is none."""
        if (found := self.find(name)) is None:
            raise RefusedError(404, f"Not found: Collection `{name}` doesn't exist!")
        return found

    def create(self, name: str, config: dict[str, Any]) -> bool:
        """Create a collection."""
        if self.find(name) is not None:
            raise RefusedError(409, f"Wrong input: Collection `{name}` already exists!")
        with self._opening:
            self._collections[name] = Collection(self._place(name), {**config, "name": name})
        return True

    def names(self) -> dict[str, Any]:
        """Return the names of all collections."""
        every = self._folder.glob("*/collection.json")
        found = [json.loads(each.read_text("utf-8"))["name"] for each in every]
        return {"collections": [{"name": name} for name in sorted(found)]}

    def drop(self, name: str) -> bool:
        """Delete a collection; return False if there is none."""
        if (found := self.find(name)) is None:
            return False
        with self._opening:
            del self._collections[name]
            found.close()
            shutil.rmtree(self._place(name))
        return True

    def close(self) -> None:
        """Close every collection."""
        for each in self._collections.values():
            each.close()


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: QdrantRest

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *args: Any) -> None:
        """Keep the output clean."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        began = time.perf_counter()
        try:
            parts = [unquote(each) for each in urlsplit(self.path).path.strip("/").split("/")]
            result, status, code = self._do(parts, body), "ok", 200
        except RefusedError as refused:
            result, status, code = None, {"error": refused.args[1]}, refused.args[0]
        except Exception as error:  # noqa: BLE001  the caller gets it, as from a real server
            result, status, code = None, {"error": f"{type(error).__name__}: {error}"}, 500
        spent = time.perf_counter() - began
        self._answer(code, {"result": result, "status": status, "time": spent})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _answer(self, code: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        head = f"HTTP/1.1 {code} -\r\nContent-Type: application/json\r\n"
        self.wfile.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)

    def _do(self, parts: list[str], body: dict[str, Any]) -> Any:
        if parts == ["collections"]:
            return self.server.names()
        if parts[0] != "collections":
            return {"title": "qdrant over the embedded engine", "version": "1.20.0"}
        name, rest, server = parts[1], "/".join(parts[2:]), self.server
        if (self.command, rest) == ("GET", "exists"):
            return {"exists": server.find(name) is not None}
        if (self.command, rest) == ("PUT", ""):
            return server.create(name, body)
        if (self.command, rest) == ("DELETE", ""):
            return server.drop(name)
        found = server.collection(name)
        operations: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("GET", ""): lambda _: found.info(),
            ("PATCH", ""): found.optimize,
            ("PUT", "index"): found.index,
            ("PUT", "points"): found.upsert,
            ("POST", "points"): found.retrieve,
            ("POST", "points/delete"): found.delete,
            ("POST", "points/payload"): found.set_payload,
            ("POST", "points/count"): found.count,
            ("POST", "points/scroll"): found.scroll,
            ("POST", "points/query/batch"): found.query,
        }
        if (self.command, rest) not in operations:
            raise RefusedError(404, f"{self.command} {rest} is not served here")
        return operations[self.command, rest](body)


@contextmanager
def qdrant_server(folder: Path, port: int | None = None) -> Iterator[tuple[str, int]]:
    """Give address and process id of a server that keeps its data in a folder."""
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder), str(port)],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(120)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"no server at port {port}")


def main() -> None:
    """Serve until the caller closes the standard input."""
    server = QdrantRest(Path(sys.argv[1]), int(sys.argv[2]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
    server.close()


if __name__ == "__main__":
    main()
