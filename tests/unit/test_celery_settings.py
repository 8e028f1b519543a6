"""Celery's settings go with the broker, and what does not is refused in one sentence."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery.concurrency import get_implementation
from qdrant_client import QdrantClient

from kvasir.app import App
from kvasir.celery_jobs import make_sender, options_of
from kvasir.components.stores.qdrant_server import QdrantServerStore
from kvasir.core.errors import SettingsError
from kvasir.core.run import StopToken
from kvasir.core.types import Source
from kvasir.frontends.api.application import make_application
from kvasir.frontends.worker.process import WorkerProcess, on_device
from kvasir.jobs.celery_app import CeleryOptions, dead_letters, make_celery
from kvasir.jobs.chunk_embedding import QueuedEmbedder
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings
from kvasir.tasks import TASKS

REDIS = CeleryOptions("redis://127.0.0.1:9/0")
RABBITMQ = CeleryOptions("amqp://guest:guest@127.0.0.1:9//")
BOTH = pytest.mark.parametrize("options", [REDIS, RABBITMQ], ids=["redis", "rabbitmq"])


def settings(**given):
    return load_settings({}, {"jobs.backend": "celery"} | given, {})


@BOTH
def test_the_settings_that_are_made_go_with_the_broker(options):
    celery = make_celery(options)
    options.check_configuration(celery)
    assert celery.conf.task_acks_late is True
    assert celery.conf.accept_content == ["json"]
    assert celery.conf.worker_prefetch_multiplier == 1
    assert celery.conf.worker_disable_prefetch is options.is_redis
    names = [queue.name for queue in celery.conf.task_queues]
    assert names == ["kvasir.ingest", "kvasir.embed", "kvasir.answers", "kvasir.mail"]
    assert dead_letters(options).name not in names


def test_the_visibility_timeout_stands_in_three_places():
    options = CeleryOptions("redis://127.0.0.1:9/0", visibility_seconds=7200.0)
    conf = make_celery(options).conf
    assert conf.broker_transport_options["visibility_timeout"] == 7200.0
    assert conf.result_backend_transport_options["visibility_timeout"] == 7200.0
    assert conf.visibility_timeout == 7200.0


def test_queues_of_rabbitmq_are_quorum_queues_with_dead_letters():
    queues = make_celery(RABBITMQ).conf.task_queues
    assert {queue.queue_arguments["x-queue-type"] for queue in queues} == {"quorum"}
    targets = {queue.queue_arguments["x-dead-letter-routing-key"] for queue in queues}
    assert targets == {"kvasir.dead"}


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", False),
        ("accept_content", ["json", "pickle"]),
        ("task_serializer", "pickle"),
        ("worker_prefetch_multiplier", 4),
        ("worker_detect_quorum_queues", False),
    ],
)
def test_a_setting_that_does_not_go_with_kvasir_is_refused(options, name, value):
    celery = make_celery(options)
    celery.conf[name] = value
    with pytest.raises(SettingsError, match=f"Celery's {name} must be"):
        options.check_configuration(celery)


@BOTH
def test_prefetching_is_off_on_redis_and_on_rabbitmq_it_must_not_be(options):
    celery = make_celery(options)
    celery.conf.worker_disable_prefetch = not options.is_redis
    with pytest.raises(SettingsError, match="worker_disable_prefetch must be"):
        options.check_configuration(celery)


@pytest.mark.parametrize(
    "name", ["broker_transport_options", "result_backend_transport_options", "visibility_timeout"]
)
def test_a_visibility_timeout_that_is_missing_in_one_place_is_refused(name):
    celery = make_celery(REDIS)
    celery.conf[name] = {} if name.endswith("options") else None
    with pytest.raises(SettingsError, match=r"visibility_timeout.* must be 3600\.0, not None"):
        REDIS.check_configuration(celery)


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_pools_whose_tasks_share_a_model_are_taken(pool):
    REDIS.check_worker(get_implementation(pool), 1)


def test_a_pool_of_forked_processes_is_refused():
    with pytest.raises(SettingsError, match="share one model, not 'prefork'"):
        REDIS.check_worker(get_implementation("prefork"), 1)


def test_other_brokers_are_refused():
    with pytest.raises(SettingsError, match="must begin with redis:// or amqp://, not with 'sqs:"):
        make_celery(CeleryOptions("sqs://key:secret@"))


def test_an_embedded_store_is_refused_in_one_sentence(tmp_path: Path):
    with App(settings(data_dir=tmp_path)) as app:
        for start in (make_application, WorkerProcess, App.check_components):
            with pytest.raises(SettingsError) as raised:
                start(app)
            message = str(raised.value)
            assert message.startswith("jobs.backend 'celery' needs a store server, because")
            assert "set rag.vectordb.uri to an address such as http://localhost:6333" in message
            assert "\n" not in message


def test_a_worker_without_celery_in_the_settings_is_refused(tmp_path: Path):
    with (
        App(Settings(data_dir=tmp_path)) as app,
        pytest.raises(SettingsError, match="a worker needs jobs"),
    ):
        WorkerProcess(app)


def test_a_queue_that_does_not_exist_is_refused(tmp_path: Path):
    given = {
        "data_dir": tmp_path,
        "rag.vectordb.uri": "http://127.0.0.1:9",
        "rag.vectordb.type": "qdrant-server",
        "jobs.queues": ["ingest", "video"],
    }
    with (
        App(settings(**given)) as app,
        pytest.raises(SettingsError, match="no queue 'video'; there are ingest, embed, answers"),
    ):
        WorkerProcess(app)


@pytest.mark.parametrize(
    ("routes", "queues", "hands_over"),
    [
        ({}, ["ingest", "embed"], False),
        ({}, ["ingest"], True),
        ({"embed_chunks": "gpu"}, ["ingest", "gpu"], False),
        ({"embed_chunks": "gpu"}, ["ingest", "embed"], True),
        ({"ingest_batch": "gpu"}, ["gpu"], False),
    ],
)
@pytest.mark.parametrize("on_the_command_line_of_celery", [False, True])
def test_a_worker_hands_chunks_over_unless_it_reads_their_queue(
    tmp_path: Path, routes, queues, hands_over, on_the_command_line_of_celery
):
    """Otherwise a worker of one thread would wait for itself."""
    given = {
        "data_dir": tmp_path,
        "rag.vectordb.uri": "http://127.0.0.1:9",
        "rag.vectordb.type": "qdrant-server",
        "rag.embedding_model.type": "kvasir.testing.fakes:FakeEmbedder",
        "jobs.routes": routes,
    }
    if not on_the_command_line_of_celery:
        given["jobs.queues"] = queues
    with App(settings(**given)) as app:
        worker = WorkerProcess(app)
        if on_the_command_line_of_celery:
            worker.celery.amqp.queues.select([f"kvasir.{name}" for name in queues])
        pool = get_implementation("threads")
        worker._check(instance=SimpleNamespace(pool_cls=pool, prefetch_multiplier=1))
        embedder = app.ingest_embedder(app.embedder, "tea")
        assert isinstance(embedder, QueuedEmbedder) is hands_over


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_a_worker_keeps_a_collection_open_from_task_to_task(tmp_path: Path, monkeypatch):
    given = {
        "data_dir": tmp_path,
        "rag.vectordb.uri": "http://127.0.0.1:9",
        "rag.vectordb.type": "qdrant-server",
        "rag.embedding_model.type": "kvasir.testing.fakes:FakeEmbedder",
        "rag.ingest.workers": 1,
    }
    opened = []

    def connect(store, uri, **login):
        opened.append(uri)
        store._client = QdrantClient(":memory:")

    monkeypatch.setattr(QdrantServerStore, "_connect", connect)
    with App(settings(**given)) as app:
        WorkerProcess(app)
        for number in range(3):
            with app.collection() as collection:
                source = Source(f"upload:tea{number}.md", "text/markdown")
                assert collection.ingest((source, b"# Tea\n\nIt is hot.")).added == [source.uri]
        with app.collection() as collection:
            assert collection.chunk_count() == 3
    assert opened == ["http://127.0.0.1:9"]


def test_a_graphics_card_changes_the_engine_and_keeps_the_models_own_options():
    given = {
        "jobs.device": "cuda",
        "rag.embedding_model.options": {"max_tokens": 128, "streams": 2, "query_prompt": "q: "},
    }
    chosen = on_device(settings(**given)).rag.embedding_model
    assert chosen.type == "sentence-transformers"
    assert chosen.options == {"max_tokens": 128, "query_prompt": "q: ", "device": "cuda"}


def test_the_processor_keeps_the_default_engine():
    chosen = settings(**{"jobs.device": "cpu"})
    assert on_device(chosen) is chosen


def test_an_embedder_of_another_kind_has_no_device():
    given = {"jobs.device": "cuda", "rag.embedding_model.type": "remote"}
    with pytest.raises(SettingsError, match="does not go with the embedder 'remote'"):
        on_device(settings(**given))


class Table:
    """A table of jobs with what is to be sent, each once."""

    def __init__(self, jobs):
        self.jobs, self.sent_again = jobs, []

    def take_unsent(self, *, limit):
        taken, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return taken

    def forget_sent(self, ids):
        self.sent_again += ids


def test_a_task_with_a_route_goes_to_the_queue_of_the_graphics_card(tmp_path, monkeypatch):
    given = {"data_dir": tmp_path, "jobs.routes": {"ingest_batch": "gpu"}}
    with App(settings(**given)) as app:
        celery, sent = make_celery(options_of(app.settings)), []
        monkeypatch.setattr(celery, "send_task", lambda name, **to: sent.append((name, to)))
        sender = make_sender(app, TASKS, StopToken(), celery=celery)
        sender._jobs = Table([("a", "ingest_batch"), ("b", "ingest_upload")])
        sender.work_once()
    assert [(to["task_id"], to["queue"]) for _, to in sent] == [
        ("a", "kvasir.gpu"),
        ("b", "kvasir.ingest"),
    ]
    assert all(to["args"] == [to["task_id"]] for _, to in sent), "ids only"


def test_what_a_broker_does_not_take_is_left_to_the_table(tmp_path):
    """Nothing listens at the broker's port."""
    given = {"data_dir": tmp_path, "jobs.broker": "redis://127.0.0.1:9/0"}
    with App(settings(**given)) as app:
        stop = StopToken()
        sender = make_sender(app, TASKS, stop)
        table = sender._jobs = Table([("a", "ingest_upload"), ("b", "ingest_upload")])
        thread = threading.Thread(target=sender.run)
        thread.start()
        while not table.sent_again:
            assert thread.is_alive()
            stop.wait(0.01)
        stop.set()
        thread.join(60)
    assert table.sent_again == ["a", "b"]
