"""Downloads, from a hub on the loopback that breaks, refuses and serves ranges on request."""

import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from filelock import FileLock
from gguf_files import gguf_bytes
from huggingface_hub import constants, file_download
from small_models import write_sentence_model

from kvasir.app import App
from kvasir.core.errors import ModelNotFoundError, StoppedError
from kvasir.core.run import LEFT_BEHIND, Progress, Run, StopToken
from kvasir.core.types import Source
from kvasir.frontends.cli.main import cli
from kvasir.frontends.cli.remedies import explain
from kvasir.models import hub, language_models
from kvasir.models.local import PARTIAL, find, find_local, list_local
from kvasir.models.rwkv_files import find_rwkv
from kvasir.settings.schema import Settings

NAME = "acme/small-encoder"
LISTING = f"/api/models/{NAME}/revision/main"
WEIGHTS = f"/{NAME}/resolve/c0ffee/model.safetensors"
TOKEN = "hf_a-secret-token"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
FILES = {
    "config.json": b'{"model_type": "bert", "hidden_size": 24}',
    "tokenizer.json": b"{}",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "README.md": b"---\nlanguage: en\n---\n",
    "model.safetensors": bytes(range(256)) * 4000,
    "pytorch_model.bin": b"pickled",
    "onnx/model.onnx": b"another engine",
    "modeling_acme.py": b"print('never fetched')",
    "../outside.json": b"never fetched",
}
PIECE = 1 << 16
LIMIT = 20.0
"""Seconds until a download stops: ten times what a quiet machine is allowed."""
KEPT = {"config.json", "tokenizer.json", "1_Pooling/config.json", "README.md", "model.safetensors"}


class Hub(ThreadingHTTPServer):
    """Serves one model as the hub does; attributes say how it misbehaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(FILES)
        self.listed = FILES
        self.requests = []
        self.agents = set()
        self.cuts = []
        self.resets_after = None
        self.pause = 0
        self.gated = False
        self.answer = None
        self.hangs_after = None
        self.released = threading.Event()
        self.needs_token = None
        self.status = None
        self.ranges = True
        self.moved_to = None
        self.askers = 1
        self.all_asked = threading.Event()
        self.all_asked.set()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Keeps the test's output clean."""

    def do_GET(self):
        server = self.server
        path = self.path.partition("?")[0]
        server.requests.append((path, self.headers.get("Range"), self.headers["Authorization"]))
        server.agents.add(self.headers["User-Agent"])
        if server.needs_token and self.headers["Authorization"] != f"Bearer {server.needs_token}":
            return self.reply(401, b"{}")
        if server.status:
            return self.reply(server.status, b"{}")
        if path == LISTING:
            if [asked for asked, *_ in server.requests].count(LISTING) >= server.askers:
                server.all_asked.set()
            answer = json.dumps(self.listing()).encode()
            return self.reply(200, answer if server.answer is None else server.answer)
        server.all_asked.wait(60)
        if server.gated:
            return self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
        name = path.removeprefix(f"/{NAME}/resolve/c0ffee/")
        if server.moved_to:
            return self.redirect(f"{server.moved_to}{path}")
        if name not in server.files:
            return self.reply(404, b"{}")
        return self.send_file(server.files[name])

    def listing(self):
        siblings = []
        for name, content in self.server.listed.items():
            entry = {"rfilename": name, "size": len(content)}
            if name.endswith((".safetensors", ".bin", ".gguf")):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            else:
                blob = b"blob %d\0" % len(content) + content
                entry["blobId"] = hashlib.sha1(blob).hexdigest()
            siblings.append(entry)
        return {"id": NAME, "sha": "c0ffee", "siblings": siblings}

    def send_file(self, content):
        server = self.server
        wanted = self.headers.get("Range") if server.ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if server.cuts and len(body) > server.cuts[0]:
            self.wfile.write(body[: server.cuts.pop(0)])
            return self.break_off()
        if server.hangs_after is not None and len(body) > server.hangs_after:
            self.wfile.write(body[: server.hangs_after])
            server.released.wait(60)
            return self.break_off()
        for begin in range(0, len(body), PIECE):
            time.sleep(server.pause)
            try:
                self.wfile.write(body[begin : begin + PIECE])
            except ConnectionError:  # the client was stopped
                return self.break_off()
        return None

    def break_off(self):
        self.close_connection = True
        if self.server.resets_after:
            # A client that has read nothing yet would lose it all.
            self.server.resets_after.wait(60)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def redirect(self, address):
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch, tmp_path):
    for variable in ("HF_TOKEN", *OFFLINE, "HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-cache"))
    # huggingface_hub waits a second before every retry.
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None))
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server


@contextmanager
def serving():
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def stored(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_model_that_is_nowhere_is_fetched_with_the_files_it_needs(server, tmp_path):
    folder = find(NAME, data_dir=tmp_path)
    assert folder.path == tmp_path / "models" / "acme" / "small-encoder"
    assert stored(folder.path) == {name: FILES[name] for name in KEPT}
    assert (folder.name, folder.origin, folder.dimension) == (NAME, "downloaded", 24)
    assert not (tmp_path / "outside.json").exists()


def test_a_fetched_model_is_found_again_without_the_hub(server, tmp_path):
    find(NAME, data_dir=tmp_path)
    server.requests.clear()
    again = find(NAME.upper(), data_dir=tmp_path)
    assert again.name == NAME
    assert server.requests == []
    assert [m.name for m in list_local(tmp_path) if m.origin == "downloaded"] == [NAME]


def test_a_program_is_told_where_the_fetched_model_is(server, tmp_path):
    pulled = CliRunner().invoke(
        cli, ["models", "pull", NAME, "--json", "--set", f"data_dir={tmp_path}"]
    )
    row = json.loads(pulled.stdout)
    assert (row["name"], row["origin"]) == (NAME, "downloaded")
    assert stored(Path(row["path"])).keys() == KEPT


def test_a_collection_is_embedded_again_by_a_model_that_is_fetched_for_it(server, tmp_path):
    model = write_sentence_model(tmp_path, "bert", "mean", {"query": "q: ", "document": "p: "})
    server.files = server.listed = stored(model)
    fake, seen = {"type": "kvasir.testing.fakes:NamedEmbedder", "name": "old"}, []
    settings = Settings(data_dir=tmp_path / "data", rag={"embedding_model": fake})
    with App(settings) as app, app.collection() as collection:
        collection.ingest((Source("upload:a.txt", "text/plain"), b"Green tea is steeped."))
        run = Run(progress=lambda event: seen.append(event.stage))
        report = collection.use_model(NAME, kind="openvino", run=run)
        assert (report.model, report.dimension, report.embedded) == (NAME, 32, 1)
        assert list(dict.fromkeys(seen))[:1] == ["download"]
        assert collection.search("Is tea steeped?")
        embedder = app.embedder_of(collection.record())
        assert (embedder.model.query_prompt, embedder.model.document_prompt) == ("q: ", "p: ")
    server.status = 500
    with App(settings) as app, app.collection() as collection:
        assert collection.search("Is tea steeped?")
        with pytest.raises(ModelNotFoundError) as raised:
            collection.use_model("acme/other", kind="openvino")
        assert "run 'kvasir models pull acme/other'" in explain(raised.value)
        assert collection.search("Is tea steeped?")


def test_progress_counts_the_bytes_of_the_whole_model(server, tmp_path):
    seen = []
    hub.pull(NAME, data_dir=tmp_path, run=Run(progress=seen.append))
    total = sum(len(FILES[name]) for name in KEPT)
    assert [event.done for event in seen] == sorted(event.done for event in seen)
    assert seen[-1] == Progress("download", total, total, "bytes", item="model.safetensors")


def test_a_broken_connection_is_resumed_where_it_broke(server, tmp_path):
    server.cuts = [300_000] * 3
    folder = hub.pull(NAME, data_dir=tmp_path)
    assert stored(folder.path)["model.safetensors"] == FILES["model.safetensors"]
    ranges = [asked for path, asked, _ in server.requests if path.endswith("model.safetensors")]
    assert ranges[0] is None
    assert len(ranges) == 4
    assert all(asked for asked in ranges[1:])


def test_a_server_without_ranges_is_asked_from_the_start(server, tmp_path):
    server.cuts, server.ranges = [300_000], False
    folder = hub.pull(NAME, data_dir=tmp_path)
    assert stored(folder.path)["model.safetensors"] == FILES["model.safetensors"]


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(server, tmp_path):
    server.cuts = [0] * 1000
    with pytest.raises(ModelNotFoundError, match=r"broke at 1_Pooling/config\.json.*run it again"):
        hub.pull(NAME, data_dir=tmp_path)
    assert find_local(NAME, tmp_path) is None
    assert [path for path, *_ in server.requests[1:]] == [
        f"/{NAME}/resolve/c0ffee/1_Pooling/config.json"
    ] * 6
    part = tmp_path / "models" / ".partial" / "acme--small-encoder" / "model.safetensors.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(FILES["model.safetensors"][:1000])
    server.cuts = []
    server.requests.clear()
    assert stored(hub.pull(NAME, data_dir=tmp_path).path).keys() == KEPT
    assert (WEIGHTS, "bytes=1000-", None) in server.requests


def test_a_resumed_download_needs_room_for_what_is_missing_only(server, tmp_path, monkeypatch):
    partial = tmp_path / "models" / PARTIAL / "acme--small-encoder"
    (partial / "1_Pooling").mkdir(parents=True)
    (partial / "model.safetensors.part").write_bytes(FILES["model.safetensors"][:-100])
    for name in KEPT - {"model.safetensors", "config.json"}:
        (partial / name).write_bytes(FILES[name])
    missing = 100 + len(FILES["config.json"])
    room = SimpleNamespace(free=missing - 1)
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: room)
    with pytest.raises(ModelNotFoundError, match="MB are free"):
        hub.pull(NAME, data_dir=tmp_path)
    room.free = missing
    assert stored(hub.pull(NAME, data_dir=tmp_path).path).keys() == KEPT


@pytest.mark.parametrize("name", ["vocab.txt", "merges.txt", "bpe.codes", "spiece.model"])
def test_the_files_of_every_tokenizer_are_fetched(server, tmp_path, name):
    server.files = server.listed = {**FILES, name: b"pieces"}
    assert stored(hub.pull(NAME, data_dir=tmp_path).path).keys() == KEPT | {name}


def ranges(server):
    """The ranges that were asked of the weights, and forgets all requests."""
    asked = [wanted for path, wanted, _ in server.requests if path == WEIGHTS]
    server.requests.clear()
    return asked


def part_size(folder):
    return (
        (folder / "models" / PARTIAL / "acme--small-encoder" / "model.safetensors.part")
        .stat()
        .st_size
    )


def assert_resumes(server, folder):
    """The next run asks for what is missing, for nothing that has arrived, and is complete."""
    have = part_size(folder)
    assert 0 < have < len(FILES["model.safetensors"])
    assert find_local(NAME, folder) is None
    server.requests.clear()
    server.pause, server.hangs_after, server.cuts = 0, None, []
    pulled = hub.pull(NAME, data_dir=folder)
    assert stored(pulled.path) == {name: FILES[name] for name in KEPT}
    assert len(server.requests) == 2  # the listing, and what was missing of the weights
    assert ranges(server) == [f"bytes={have}-"]


def test_a_download_that_broke_in_the_middle_is_resumed_by_the_next_run(server, tmp_path):
    server.cuts = [300_000, *[0] * 20]
    with pytest.raises(ModelNotFoundError, match="run it again to go on from there"):
        hub.pull(NAME, data_dir=tmp_path)
    first, *retries = ranges(server)
    assert first is None
    assert set(retries) == {f"bytes={part_size(tmp_path)}-"}
    assert_resumes(server, tmp_path)


def test_a_connection_that_is_reset_is_resumed_in_the_same_run(server, tmp_path):
    server.cuts, server.resets_after = [300_000], threading.Event()

    def progress(event):
        if event.done > PIECE // 2:
            server.resets_after.set()

    folder = hub.pull(NAME, data_dir=tmp_path, run=Run(progress=progress))
    assert stored(folder.path)["model.safetensors"] == FILES["model.safetensors"]
    first, second = ranges(server)
    assert first is None
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.parametrize("trouble", [{"pause": 0.2}, {"hangs_after": 300_000}], ids=str)
def test_a_stopped_download_ends_soon_and_is_resumed(server, tmp_path, trouble):
    vars(server).update(trouble)
    seen, stopped = [], []

    def progress(event):
        seen.append(event.done)
        if event.done > 200_000:
            stopped.append(time.monotonic())
            stop.set()

    stop = StopToken()
    with pytest.raises(StoppedError):
        hub.pull(NAME, None, tmp_path, Run(stop, progress))
    assert time.monotonic() - stopped[0] < LIMIT
    server.released.set()
    for thread in threading.enumerate():
        if thread.name == LEFT_BEHIND:
            thread.join(60)
    assert_resumes(server, tmp_path)


def test_a_download_that_waits_for_another_program_can_be_stopped(server, tmp_path, monkeypatch):
    hub.pull(NAME, data_dir=tmp_path)
    (lock_file,) = (tmp_path / "models" / PARTIAL).glob("*.lock")
    monkeypatch.setattr(hub, "LOCK_NOTICE_SECONDS", 0.1)
    stop = StopToken()
    with FileLock(lock_file), pytest.raises(StoppedError):
        hub.pull(NAME, None, tmp_path, Run(stop, lambda _: stop.set()))


def test_progress_moves_while_a_file_arrives(server, tmp_path):
    server.pause = 0.05
    seen = []
    hub.pull(NAME, data_dir=tmp_path, run=Run(progress=seen.append))
    steps = [event.done for event in seen if event.item == "model.safetensors"]
    assert len(steps) > 4
    assert steps == sorted(set(steps))


def test_ctrl_c_leaves_a_download_that_the_next_run_resumes(server, tmp_path):
    server.pause = 0.3
    data = tmp_path / "kvasir-data"
    with pulling(tmp_path) as process:
        end = time.monotonic() + 60
        while not list(data.rglob("model.safetensors.part")) or part_size(data) < PIECE:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        interrupted = time.monotonic()
        _, shown = process.communicate()
        assert time.monotonic() - interrupted < LIMIT
    assert process.returncode == 130
    assert "Traceback" not in shown
    assert_resumes(server, data)


@contextmanager
def pulling(folder, *command, **environment):
    """Runs ``kvasir models pull``, or another command, in a folder."""
    command = [sys.executable, "-m", "kvasir", *(command or ("models", "pull", NAME))]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"KVASIR__DATA_DIR": "kvasir-data"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def test_a_model_that_two_processes_fetch_at_the_same_time_is_fetched_once(server, tmp_path):
    server.askers = 2
    server.all_asked.clear()
    with pulling(tmp_path) as first, pulling(tmp_path) as second:
        results = [(*process.communicate(), process.returncode) for process in (first, second)]
    target = tmp_path / "kvasir-data/models/acme/small-encoder"
    assert results == [(f"{NAME}: {target}\n", "", 0)] * 2
    assert stored(target) == {name: FILES[name] for name in KEPT}
    fetched = sorted(path for path, *_ in server.requests if path != LISTING)
    assert fetched == sorted(f"/{NAME}/resolve/c0ffee/{name}" for name in KEPT)


def test_who_waits_for_another_program_is_told_so(server, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "LOCK_NOTICE_SECONDS", 0.1)
    pulled = hub.pull(NAME, data_dir=tmp_path)
    (lock_file,) = (tmp_path / "models" / PARTIAL).glob("*.lock")
    told = []
    with FileLock(lock_file) as held:

        def on_progress(event):
            told.append(event.item)
            held.release()

        assert hub.pull(NAME, None, tmp_path, Run(progress=on_progress)) == pulled
    assert told == [f"waiting for another program that fetches {NAME}", NAME]


def test_a_model_that_is_there_already_is_fetched_again_only_if_it_changed(server, tmp_path):
    folder = hub.pull(NAME, data_dir=tmp_path)
    server.requests.clear()
    assert hub.pull(NAME, data_dir=tmp_path) == folder
    assert [path for path, *_ in server.requests] == [LISTING]
    (folder.path / "config.json").write_text("{}")
    assert hub.pull(NAME, data_dir=tmp_path) == folder
    assert stored(folder.path) == {name: FILES[name] for name in KEPT}


BAR = re.compile(r"1\.0/1\.0 MB.* [kMG]?B/s.*\d:\d\d:\d\d")
ON_A_TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}


def test_pulling_shows_how_fast_it_goes_and_how_long_it_takes(server, tmp_path):
    with pulling(tmp_path, **ON_A_TERMINAL) as process:
        _, shown = process.communicate()
    assert process.returncode == 0
    assert BAR.search(shown)


def test_a_model_that_is_fetched_unasked_is_shown_as_one_that_is_pulled(server, tmp_path):
    (tmp_path / "moon.md").write_text("The Moon orbits the Earth.")
    command = ("ingest", "--set", f"rag.embedding_model.name={NAME}", "moon.md")
    with pulling(tmp_path, *command, **ON_A_TERMINAL) as process:
        _, shown = process.communicate()
    assert BAR.search(shown)
    # The line of the download is taken away before anything else is told.
    assert re.search(r"\n\x1b\[Kerror: ", shown)


def test_a_model_that_is_fetched_for_a_program_is_not_shown(server, tmp_path):
    (tmp_path / "moon.md").write_text("The Moon orbits the Earth.")
    command = ("ingest", "--json", "--set", f"rag.embedding_model.name={NAME}", "moon.md")
    with pulling(tmp_path, *command, **ON_A_TERMINAL) as process:
        _, shown = process.communicate()
    assert any(path.endswith("model.safetensors") for path, _, _ in server.requests)
    assert "MB" not in shown


def test_a_damaged_file_is_refused_and_not_kept(server, tmp_path):
    server.files["model.safetensors"] = b"\0" * len(FILES["model.safetensors"])
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors .* damaged"):
        hub.pull(NAME, data_dir=tmp_path)
    assert find_local(NAME, tmp_path) is None
    assert not list(tmp_path.rglob("model.safetensors*"))
    server.files = dict(FILES)
    assert stored(hub.pull(NAME, data_dir=tmp_path).path).keys() == KEPT


def test_a_private_model_is_fetched_with_the_token(server, tmp_path, monkeypatch):
    server.needs_token = TOKEN
    assert find(NAME, TOKEN, tmp_path / "by-option").name == NAME
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert find(NAME, None, tmp_path / "by-environment").name == NAME


def test_the_token_is_not_shown_to_the_host_that_the_hub_redirects_to(server, tmp_path):
    server.needs_token = TOKEN
    with serving() as storage:
        server.moved_to = f"http://localhost:{storage.server_port}"
        assert stored(hub.pull(NAME, TOKEN, tmp_path).path).keys() == KEPT
        assert len(storage.requests) == len(KEPT)
        assert {token for _, _, token in storage.requests} == {None}


def test_only_the_token_of_kvasir_is_sent_and_nothing_about_the_machine(
    server, tmp_path, monkeypatch
):
    login = tmp_path / "token"
    login.write_text(TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(login))
    hub.pull(NAME, data_dir=tmp_path)
    assert {token for _, _, token in server.requests} == {None}
    assert server.agents == {"kvasir"}


def test_a_model_whose_files_are_gated_is_explained(server, tmp_path):
    server.gated = True
    with pytest.raises(ModelNotFoundError, match=r"\(403\): accept the model's terms"):
        hub.pull(NAME, TOKEN, tmp_path)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"id": "a/b"}'])
def test_a_server_that_is_no_hub_is_named(server, tmp_path, answer):
    server.answer = answer
    with pytest.raises(ModelNotFoundError, match="did not answer as a hub does"):
        hub.pull(NAME, data_dir=tmp_path)


def test_what_an_older_version_left_half_done_is_fetched_anew(server, tmp_path):
    part = tmp_path / "models" / ".partial" / "acme--small-encoder" / "model.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another version")
    folder = hub.pull(NAME, data_dir=tmp_path)
    assert stored(folder.path)["model.safetensors"] == FILES["model.safetensors"]


@pytest.mark.parametrize(
    ("status", "token", "explained"),
    [
        (401, TOKEN, "does not accept the token"),
        (401, None, "rag.embedding_model.token or HF_TOKEN"),
        (403, TOKEN, "accept the model's terms"),
        (404, None, "has no model 'acme/small-encoder' \\(404\\)"),
        (503, None, "try again later"),
    ],
)
def test_a_refusal_is_explained_and_shows_no_token(server, tmp_path, status, token, explained):
    server.status = status
    with pytest.raises(ModelNotFoundError, match=explained) as caught:
        find(NAME, token, tmp_path)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(caught.value.__cause__)


def test_one_error_lists_every_way_that_was_tried(server, tmp_path):
    server.status = 404
    with pytest.raises(ModelNotFoundError) as caught:
        find(NAME, data_dir=tmp_path)
    message = str(caught.value)
    for part in ("path:", "package:", str(tmp_path / "models"), "no-cache/hub", "hub:"):
        assert part in message
    assert f"kvasir models pull {NAME}" in explain(caught.value)


@pytest.mark.parametrize("variable", OFFLINE)
def test_offline_means_that_nothing_is_asked(server, tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ModelNotFoundError, match=f"{variable} is set"):
        find(NAME, data_dir=tmp_path)
    assert server.requests == []


def test_an_unreachable_hub_is_named(tmp_path, monkeypatch):
    for variable in OFFLINE:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        ModelNotFoundError, match=r"http://127\.0\.0\.1:9/? cannot be reached"
    ) as caught:
        hub.pull(NAME, data_dir=tmp_path)
    assert f"'kvasir models pull {NAME}' where there is a network" in explain(caught.value)


@pytest.mark.parametrize("name", ["../../etc", "a/b/c", "https://example.org/x", "", "a/..", "./x"])
def test_what_is_no_name_is_not_asked_for(server, tmp_path, name):
    with pytest.raises(ModelNotFoundError, match="not a name on the hub"):
        hub.pull(name, data_dir=tmp_path)
    assert server.requests == []


def test_a_name_without_owner_is_tried_with_the_usual_one(server, tmp_path):
    with pytest.raises(ModelNotFoundError):
        hub.pull("small-encoder", data_dir=tmp_path)
    assert [path for path, _, _ in server.requests] == [
        "/api/models/sentence-transformers/small-encoder/revision/main",
        "/api/models/small-encoder/revision/main",
    ]


@pytest.fixture
def models(server, tmp_path):
    """Runs ``kvasir models`` with a data folder of the test's own."""
    place = ["--set", f"data_dir={tmp_path}"]
    return lambda *arguments: CliRunner().invoke(cli, ["models", *arguments, *place])


def test_the_command_pulls_a_model_and_lists_it(models, tmp_path):
    folder = tmp_path / "models" / "acme" / "small-encoder"
    assert NAME not in models("list").output
    assert models("pull", NAME).stdout == f"{NAME}: {folder}\n"
    assert stored(folder) == {name: FILES[name] for name in KEPT}
    (row,) = (row for row in json.loads(models("list", "--json").stdout) if row["name"] == NAME)
    size = sum(len(FILES[name]) for name in KEPT)
    assert row == {
        "name": NAME,
        "format": "safetensors",
        "dimension": 24,
        "size": size,
        "origin": "downloaded",
        "path": str(folder),
    }
    heads, *rows = models("list").stdout.splitlines()
    assert heads.split() == ["name", "format", "dimension", "bytes", "found", "path"]
    assert [each.split()[:3] for each in rows if NAME in each] == [[NAME, "safetensors", "24"]]


LANGUAGE_FILES = {
    "README.md": b"---\nlanguage: en\n---\n",
    "talker-q4_k_m.gguf": gguf_bytes() + bytes(200_000),
    "talker-q8_0.gguf": gguf_bytes() + b"8",
    "mmproj-talker.gguf": b"pictures",
    "f16/talker-f16-00001-of-00002.gguf": gguf_bytes() + b"1",
    "f16/talker-f16-00002-of-00002.gguf": gguf_bytes() + b"2",
    "../q2_k.gguf": b"never fetched",
}


@pytest.fixture
def language_server(server):
    server.files = server.listed = LANGUAGE_FILES
    return server


@pytest.mark.parametrize(
    ("asked", "fetched"),
    [
        (NAME, ["talker-q4_k_m.gguf"]),
        (f"{NAME}/Talker-Q8_0.gguf", ["talker-q8_0.gguf"]),
        (
            f"{NAME}/f16/talker-f16-00002-of-00002.gguf",
            ["f16/talker-f16-00001-of-00002.gguf", "f16/talker-f16-00002-of-00002.gguf"],
        ),
    ],
)
def test_of_a_language_model_one_file_is_fetched(language_server, models, tmp_path, asked, fetched):
    folder = tmp_path / "models" / "acme" / "small-encoder"
    pulled = models("pull", asked)
    assert pulled.stdout == f"{NAME}/{fetched[0]}: {folder / fetched[0]}\n"
    assert stored(folder) == {name: LANGUAGE_FILES[name] for name in fetched}
    rows = json.loads(models("list", "--json").stdout)
    (row,) = (row for row in rows if row["origin"] == "downloaded")
    size = sum(len(LANGUAGE_FILES[name]) for name in fetched)
    assert (row["name"], row["format"], row["size"]) == (f"{NAME}/{fetched[0]}", "gguf", size)


def test_of_rwkv_the_named_file_is_fetched(server, models, tmp_path):
    files = {"rwkv-0.1b.pth": b"small" * 1000, "rwkv-1.5b.pth": b"large", "README.md": b""}
    server.files = server.listed = files
    folder = tmp_path / "models" / "acme" / "small-encoder"
    for name in (NAME, f"{NAME}/none.pth"):
        with pytest.raises(ModelNotFoundError, match=r"rwkv-0\.1b\.pth, rwkv-1\.5b\.pth"):
            hub.pull(name, data_dir=tmp_path)
    pulled = models("pull", f"{NAME}/rwkv-0.1b.pth")
    assert pulled.stdout == f"{NAME}/rwkv-0.1b.pth: {folder / 'rwkv-0.1b.pth'}\n"
    assert stored(folder) == {"rwkv-0.1b.pth": files["rwkv-0.1b.pth"]}
    assert find_rwkv(f"{NAME}/rwkv-0.1b.pth", tmp_path) == folder / "rwkv-0.1b.pth"
    rows = json.loads(models("list", "--json").stdout)
    (row,) = (row for row in rows if row["origin"] == "downloaded")
    assert (row["name"], row["format"], row["size"]) == (
        f"{NAME}/rwkv-0.1b.pth", "pytorch", 5000,
    )  # fmt: skip
    server.files = server.listed = {"state.pth": b"only one"}
    assert models("pull", NAME).stdout.endswith("state.pth\n")
    assert stored(folder).keys() == {"rwkv-0.1b.pth", "state.pth"}


def test_a_second_file_of_a_language_model_leaves_the_first(language_server, tmp_path):
    first = hub.pull(NAME, data_dir=tmp_path)
    second = hub.pull(f"{NAME}/talker-q8_0.gguf", data_dir=tmp_path)
    assert stored(first.path.parent).keys() == {"talker-q4_k_m.gguf", "talker-q8_0.gguf"}
    assert language_models.find_local(NAME.upper(), tmp_path).path == first.path
    assert language_models.find_local(second.name, tmp_path) == second


def test_an_encoder_leaves_the_language_models_of_its_repository(server, tmp_path):
    server.files = server.listed = LANGUAGE_FILES
    talker = hub.pull(NAME, data_dir=tmp_path)
    server.files = server.listed = FILES
    encoder = hub.pull(NAME, data_dir=tmp_path)
    assert stored(encoder.path).keys() == {*KEPT, talker.path.name}


def test_a_language_model_is_resumed_where_the_connection_broke(language_server, tmp_path):
    language_server.cuts = [100_000]
    folder = hub.pull(NAME, data_dir=tmp_path)
    assert folder.path.read_bytes() == LANGUAGE_FILES["talker-q4_k_m.gguf"]
    ranges = [asked for path, asked, _ in language_server.requests if path.endswith(".gguf")]
    assert ranges[0] is None
    assert len(ranges) == 2
    assert ranges[1]


def test_a_file_that_a_repository_lacks_is_named_with_those_that_it_has(language_server, tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no file 'q3\.gguf'.*it has .*q8_0\.gguf"):
        hub.pull(f"{NAME}/q3.gguf", data_dir=tmp_path)


def test_a_repository_without_any_model_says_so(server, tmp_path):
    server.listed = {"README.md": b""}
    with pytest.raises(ModelNotFoundError, match="with weights and no GGUF file"):
        hub.pull(NAME, data_dir=tmp_path)


def test_a_model_of_another_kind_is_not_fetched(server, tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"has no GGUF file on the hub"):
        language_models.find(NAME, tmp_path, fetch=True)
    server.files = server.listed = LANGUAGE_FILES
    with pytest.raises(ModelNotFoundError, match=r"has no config\.json with weights on the hub"):
        find(NAME, data_dir=tmp_path)
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_language_model_is_fetched_unasked_only_where_that_is_allowed(language_server, tmp_path):
    with pytest.raises(ModelNotFoundError) as caught:
        language_models.find(NAME, tmp_path)
    assert f"'kvasir models pull {NAME}'" in explain(caught.value)
    assert language_server.requests == []
    seen = []
    found = language_models.find(NAME, tmp_path, fetch=True, run=Run(progress=seen.append))
    assert found.path.name == "talker-q4_k_m.gguf"
    assert seen[-1].done == seen[-1].total == len(LANGUAGE_FILES["talker-q4_k_m.gguf"])


def test_without_a_name_the_command_pulls_the_model_of_the_settings_with_its_token(models, server):
    server.needs_token = TOKEN
    chosen = {"name": NAME, "token": TOKEN}
    settings = [f"rag.embedding_model.{key}={value}" for key, value in chosen.items()]
    pulled = models("pull", *(part for each in settings for part in ("--set", each)))
    assert pulled.exit_code == 0
    assert pulled.stdout.startswith(f"{NAME}: ")
    assert TOKEN not in pulled.output


def test_the_command_says_why_a_model_cannot_be_had(models, server):
    server.status = 404
    failed = models("pull", NAME)
    assert isinstance(failed.exception, ModelNotFoundError)
    assert f"has no model '{NAME}'" in str(failed.exception)
