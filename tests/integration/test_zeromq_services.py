"""Clients, a broker and workers under faults; the workers and some brokers are real processes."""

from __future__ import annotations

import logging
import signal
import struct
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
import zmq
from service_peers import (
    HEARTBEAT,
    Peer,
    echo_services,
    peer,
    wait_for,
    worker_process,
)

from kvasir.core.deadline import deadline, stopping
from kvasir.core.errors import (
    ClosedError,
    ComponentError,
    DeadlineExceededError,
    SettingsError,
    StoppedError,
    TooLargeError,
    WireError,
)
from kvasir.core.run import StopToken
from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.curve_keys import load_keys, make_keys
from kvasir.remote.zeromq.dispatching_records import Limits
from kvasir.remote.zeromq.packing import pack, unpack
from kvasir.remote.zeromq.worker import Service, Worker

NEVER = "tcp://127.0.0.1:1"


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_broker(opened, tmp_path):
    def make_broker(front="tcp://127.0.0.1:0", **options):
        back = f"ipc://{tmp_path}/private/back"
        return opened.enter_context(Broker(front, back, **{"heartbeat": HEARTBEAT} | options))

    return make_broker


@pytest.fixture
def broker(make_broker):
    return make_broker()


@pytest.fixture
def make_client(opened):
    def make_client(address, **options):
        return opened.enter_context(Client(address, **{"heartbeat": HEARTBEAT} | options))

    return make_client


@pytest.fixture
def client(broker, make_client):
    return make_client(broker.front_end[0])


@pytest.fixture
def make_worker(opened, broker):
    """A worker in this process."""

    def make_worker(slots=4, **options):
        made = Worker(
            broker.back_end[0], echo_services(slots), **{"heartbeat": HEARTBEAT} | options
        )
        return opened.enter_context(made)

    return make_worker


@pytest.fixture
def start_worker(opened, broker):
    """A worker in a process of its own."""

    def start_worker(**options):
        started = worker_process(broker.back_end[0], **options)
        opened.callback(started.end)
        return started

    return start_worker


def echo(client, value=1, seconds=0.0, service="echo", **options):
    return client.start(service, "echo", {"value": value, "seconds": seconds}, **options)


def counted(client, service="echo"):
    return Counter(client.statistics()["services"].get(service, {}))


def test_values_arrays_and_errors_come_through(client, make_worker):
    make_worker()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = client.call("echo", "double", {"array": array, "text": "🦉 \ud83d"})
    np.testing.assert_array_equal(found["array"], array * 2)
    assert found["text"] == "🦉 \ud83d"
    with pytest.raises(WireError, match="array: it must be an array"):
        client.call("echo", "double", {"text": ""})
    with pytest.raises(WireError, match="no operation 'unknown'"):
        client.call("echo", "unknown", {})


def test_an_unforeseen_error_names_the_service_and_shows_no_traceback(client, opened, broker):
    service = Service("broken", {"divide": lambda _: 1 / 0})
    opened.enter_context(Worker(broker.back_end[0], [service], heartbeat=HEARTBEAT))
    with pytest.raises(ComponentError, match=r"broken: divide failed: ZeroDivisionError"):
        client.call("broken", "divide", {})


def test_a_long_header_before_a_small_frame_arrives_whole(client, make_worker):
    make_worker()
    texts = ["x" * 100_000, "y" * 300_000]
    calls = [
        client.start("echo", "double", {"array": np.full(3, n, np.float32), "text": texts[n % 2]})
        for n in range(20)
    ]
    for n, call in enumerate(calls):
        assert call.result()["array"].tolist() == [2 * n] * 3
        assert call.result()["text"] == texts[n % 2]


def test_a_killed_worker_loses_no_request_and_answers_none_twice(client, start_worker):
    first, second = start_worker(), start_worker()
    wait_for(lambda: counted(client)["workers"] == 2)
    calls = [echo(client, value, 0.002) for value in range(1000)]
    wait_for(lambda: sum(call.is_done for call in calls) > 200)
    first.kill()
    answers = [call.result() for call in calls]
    assert [each["value"] for each in answers] == list(range(1000))
    pids = Counter(each["pid"] for each in answers)
    assert set(pids) == {first.process.pid, second.process.pid}
    assert pids[first.process.pid] >= 50
    found = counted(client)
    assert found["served"] == 1000
    assert found["retried"] >= 1


def test_a_worker_that_hangs_is_replaced_and_may_come_back(client, start_worker):
    hanging = start_worker(slots=1)
    wait_for(lambda: counted(client)["workers"] == 1)
    hanging.signal(signal.SIGSTOP)
    call = echo(client)
    other = start_worker(slots=1)
    assert call.result()["pid"] == other.process.pid
    statistics = client.statistics()
    assert [each["running"] for each in statistics["workers"]] == [0]
    assert statistics["workers_lost"] == 1
    hanging.signal(signal.SIGCONT)
    wait_for(lambda: counted(client)["workers"] == 2)
    other.kill()
    assert echo(client).result()["pid"] == hanging.process.pid


def test_a_call_that_never_ends_makes_its_worker_leave(client, start_worker):
    stuck = start_worker(slots=1, hang_seconds=0.2)
    with pytest.raises(ComponentError) as caught:
        echo(client, 1, 30.0, timeout=0.2).result()
    assert caught.value.kind == "timeout"
    assert stuck.process.wait(5) == 1
    other = start_worker(slots=1)
    assert echo(client).result()["pid"] == other.process.pid


def test_clients_and_workers_go_on_after_the_broker_was_restarted(make_client, opened, tmp_path):
    ends = [f"ipc://{tmp_path}/private/{name}" for name in ("front", "back")]
    first = Peer("broker", *ends, HEARTBEAT, 100)
    opened.callback(first.end)
    opened.enter_context(Worker(ends[1], echo_services(2), heartbeat=HEARTBEAT))
    client = make_client(ends[0])
    assert echo(client, 1).result()["value"] == 1
    waiting = [echo(client, value, 0.05) for value in range(20)]
    once = echo(client, 99, 30.0, idempotent=False)
    wait_for(lambda: counted(client)["served"] >= 3)
    first.kill()
    opened.enter_context(peer("broker", *ends, HEARTBEAT, 100))
    assert [call.result()["value"] for call in waiting] == list(range(20))
    with pytest.raises(ComponentError, match="the connection was lost"):
        once.result()


def test_calls_wait_for_the_next_broker_while_one_answers_what_it_has(
    make_client, opened, tmp_path
):
    ends = [f"ipc://{tmp_path}/private/{name}" for name in ("front", "back")]
    first = Broker(*ends, heartbeat=HEARTBEAT)
    opened.callback(first.close)
    opened.enter_context(Worker(ends[1], echo_services(2), heartbeat=HEARTBEAT))
    client = make_client(ends[0])
    long = echo(client, 1, 2.0)
    wait_for(lambda: counted(client)["running"] == 1)
    ending = threading.Thread(target=first.close, args=(30.0,))
    ending.start()
    wait_for(lambda: first._dispatcher.is_stopping)
    # Also one that must not be executed twice: the first broker did not accept it.
    later = [echo(client, 2), echo(client, 3, idempotent=False)]
    assert long.result()["value"] == 1
    ending.join(60)
    opened.enter_context(Broker(*ends, heartbeat=HEARTBEAT))
    assert [call.result()["value"] for call in later] == [2, 3]


def test_a_slow_generation_does_not_delay_embeddings(client, make_worker):
    make_worker()
    slow = [client.start("slow", "wait", {"seconds": 60.0}) for _ in range(2)]
    wait_for(lambda: counted(client, "slow")["running"] == 1)
    with deadline(30):
        assert [echo(client, value).result()["value"] for value in range(50)] == list(range(50))
    assert not any(call.is_done for call in slow)
    for call in slow:
        call.cancel()


def test_a_flood_beyond_the_limit_hears_busy(make_broker, make_client, opened):
    broker = make_broker(limits=Limits(requests=100, held_bytes=1 << 20))
    client = make_client(broker.front_end[0])
    calls = [echo(client, value) for value in range(3000)]
    wait_for(lambda: sum(call.is_done for call in calls) == 2900)
    accepted = [value for value, call in enumerate(calls) if not call.is_done]
    refused = next(call for call in calls if call.is_done)
    with pytest.raises(ComponentError, match="waiting or running already") as caught:
        refused.result()
    assert (caught.value.kind, caught.value.retry_after) == ("busy", 1.0)
    held = client.statistics()["held_bytes"]
    assert 0 < held < 100 * 200
    large = client.start("echo", "double", {"text": "x" * (1 << 20)})
    with pytest.raises(ComponentError, match="running already"):
        large.result()
    opened.enter_context(Worker(broker.back_end[0], echo_services(4), heartbeat=HEARTBEAT))
    assert [calls[value].result()["value"] for value in accepted] == accepted
    assert client.statistics()["held_bytes"] == 0


def test_a_flood_does_not_fill_the_memory_of_the_broker(make_client, opened, tmp_path):
    ends = [f"ipc://{tmp_path}/private/{name}" for name in ("front", "back")]
    broker = opened.enter_context(peer("broker", *ends, HEARTBEAT, 100))
    client = make_client(ends[0])
    text = "x" * 50_000

    calls = []

    def flood(count):
        calls.extend(client.start("echo", "double", {"text": text}) for _ in range(count))
        wait_for(lambda: sum(not call.is_done for call in calls) == 100)

    flood(300)
    before = resident_megabytes(broker.process.pid)
    flood(3000)  # 150 MB
    assert resident_megabytes(broker.process.pid) - before < 50


def resident_megabytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_five_thousand_requests_are_in_flight_over_one_connection(client, make_worker):
    calls = [echo(client, value) for value in range(5000)]
    wait_for(lambda: counted(client)["waiting"] == 5000)
    make_worker(slots=4)
    assert [call.result()["value"] for call in calls] == list(range(5000))
    assert client.statistics()["clients"] == 1


class RawPeer:
    """A DEALER that says whatever it likes."""

    def __init__(self, address):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVTIMEO, 2000)
        self.socket.connect(address)

    def close(self):
        self.socket.close()
        self.context.term()  # A second time it does nothing.

    def hello(self, *body):
        self.socket.send_multipart([wire.write(wire.HELLO, wire.NO_SESSION), *body])
        (frame,) = self.socket.recv_multipart()
        return wire.read(frame)[5]

    def request(self, session, id_, body=None):
        body = body or pack(["echo", {"value": id_, "seconds": 0.0}])
        envelope = wire.write(wire.REQUEST, session, id_, 5000, wire.IDEMPOTENT, b"echo")
        self.socket.send_multipart([envelope, *body])


@pytest.fixture
def make_raw(opened):
    return lambda address: opened.enter_context(closing(RawPeer(address)))


GARBAGE = [
    [b""],
    [b"GET / HTTP/1.1\r\n"],
    [b"KVZ"],
    [bytes(1000)],
    [wire.write(wire.REQUEST, wire.NO_SESSION, 1)] * 200,
    [wire.write(99, wire.NO_SESSION)],
    [struct.pack("!3sBBBI8sQ", b"KVZ", 9, wire.HELLO, 0, 0, bytes(8), 0)],
    [wire.write(wire.REPLY, wire.NO_SESSION, 1), b"\xc1"],
]


def test_garbage_does_not_disturb_others(broker, client, make_worker, make_raw):
    make_worker()
    for address in (*broker.front_end, *broker.back_end):
        raw = make_raw(address)
        for frames in GARBAGE:
            raw.socket.send_multipart(frames)
        raw.socket.send_multipart([wire.write(wire.HELLO, wire.NO_SESSION), b"\xc1garbage"])
    assert echo(client, 5).result()["value"] == 5
    wait_for(lambda: client.statistics()["refused"] >= 2 * 5)
    assert broker.is_running


def test_a_message_that_cannot_be_acted_on_is_counted_and_ends_nothing(
    broker, client, make_worker, make_raw, monkeypatch, caplog
):
    make_worker()
    wait_for(lambda: counted(client)["workers"] == 1)
    raw = make_raw(broker.back_end[0])
    with monkeypatch.context() as patch:
        patch.setattr(broker._dispatcher, "_register", lambda *_: 1 / 0)
        raw.socket.send_multipart([wire.write(wire.HELLO, wire.NO_SESSION)])
        wait_for(lambda: client.statistics()["refused"] == 1)
    assert echo(client, 5).result()["value"] == 5
    assert broker.is_running
    assert "a message could not be acted on" in caplog.text


def test_garbage_within_a_session_is_refused_and_answered(broker, make_worker, make_raw):
    make_worker()
    raw = make_raw(broker.front_end[0])
    session = raw.hello()
    raw.request(session, 1, [b"\xc1 no MessagePack"])
    envelope, *body = raw.socket.recv_multipart()
    assert wire.read(envelope)[2] == wire.ERROR
    assert unpack(body)[0] == "malformed_json"
    for kind in (0, wire.WELCOME, wire.CHUNK, 255):
        raw.socket.send_multipart([wire.write(kind, session, 7), b"x"])
    for kind in (wire.MORE, wire.CANCEL):
        raw.socket.send_multipart([wire.write(kind, session, 2**63, 2**32 - 1)])
    raw.request(session, 8)
    assert wire.read(raw.socket.recv_multipart()[0])[2] == wire.REPLY


def test_replayed_frames_are_not_executed(broker, client, make_worker, make_raw):
    make_worker()
    raw = make_raw(broker.front_end[0])
    session = raw.hello()
    raw.request(session, 5)
    assert wire.read(raw.socket.recv_multipart()[0])[2] == wire.REPLY
    for id_ in (5, 4):  # The same again, and an earlier one.
        raw.request(session, id_)
    other = make_raw(broker.front_end[0])
    other.hello()
    other.request(session, 6)  # Recorded at another connection.
    assert wire.read(other.socket.recv_multipart()[0])[2] == wire.RESET
    assert counted(client)["served"] == 1
    assert client.statistics()["refused"] == 3


def test_an_answer_of_a_worker_that_was_not_asked_reaches_nobody(broker, client, make_raw):
    call = echo(client)
    wait_for(lambda: counted(client)["waiting"] == 1)
    cheat = make_raw(broker.back_end[0])
    session = cheat.hello(*pack({"services": {"other": 1}, "name": "cheat"}))
    first = broker._dispatcher._next_key
    for key in range(first - 2, first + 3):
        cheat.socket.send_multipart([wire.write(wire.REPLY, session, key), *pack("forged")])
    wait_for(lambda: client.statistics()["late"] == 5)
    assert not call.is_done
    call.cancel()


def test_an_oversized_frame_is_refused_before_it_is_read(make_broker, make_client, make_raw):
    broker = make_broker(limits=Limits(message_bytes=100_000))
    with Worker(broker.back_end[0], echo_services(1), heartbeat=HEARTBEAT):
        client = make_client(broker.front_end[0], most_bytes=100_000)
        with pytest.raises(TooLargeError, match="100,000 are allowed"):
            client.call("echo", "double", {"text": "x" * 100_001})
        raw = make_raw(broker.front_end[0])
        session = raw.hello()
        raw.request(session, 1, [bytes(200_000)])
        assert echo(client, 3).result()["value"] == 3
        assert client.statistics()["services"]["echo"]["served"] == 1


def test_deadlines_and_stop_tokens_end_a_call_at_both_sides(client, make_worker):
    make_worker(slots=1)
    with deadline(0.15), pytest.raises(DeadlineExceededError):
        client.call("echo", "wait", {"seconds": 30.0})
    assert echo(client).result()["value"] == 1
    stop = StopToken()
    threading.Timer(0.1, stop.set).start()
    with stopping(stop), pytest.raises(StoppedError):
        client.call("echo", "wait", {"seconds": 30.0})
    assert echo(client).result()["value"] == 1


def test_a_client_that_leaves_stops_its_calls(broker, client, make_client, make_worker):
    make_worker(slots=1)
    leaving = make_client(broker.front_end[0])
    call = leaving.start("echo", "wait", {"seconds": 30.0})
    wait_for(lambda: counted(client)["running"] == 1)
    leaving.close()
    with pytest.raises(ClosedError):
        call.result()
    with pytest.raises(ClosedError):
        leaving.call("echo", "wait", {"seconds": 0.0})
    assert echo(client).result()["value"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_calls_end_with_the_thread_of_their_connection(client, make_worker):
    make_worker()
    running = client.start("echo", "wait", {"seconds": 60.0})
    wait_for(lambda: counted(client)["running"] == 1)
    assert client.is_usable
    client._link.post("nothing that a client knows")
    with deadline(10), pytest.raises(ClosedError):
        running.result()
    wait_for(lambda: not client.is_usable)
    with deadline(10), pytest.raises(ClosedError):
        client.call("echo", "wait", {"seconds": 0.0})


def test_a_call_that_is_posted_while_its_connection_closes_ends_at_once(client):
    client._link.close()
    with deadline(10), pytest.raises(ClosedError):
        client.call("echo", "wait", {"seconds": 0.0})


def test_streams_are_whole_in_order_and_wait_for_their_reader(client, make_worker):
    make_worker(slots=2)
    numbers = []
    for piece in client.stream("echo", "count", {"most": 300, "seconds": 0.0}):
        assert piece["array"].tolist() == [piece["number"]] * 4
        numbers.append(piece["number"])
    assert numbers == list(range(300))
    pieces = client.stream("echo", "count", {"most": 10**9, "seconds": 0.0})
    assert next(pieces)["number"] == 0
    # Its worker may be ahead by the window alone, and stops when the reader leaves.
    pieces.close()
    wait_for(lambda: counted(client)["running"] == 0)
    assert echo(client).result()["value"] == 1


def take_request(raw):
    """Register a raw peer as a worker; return the session and the key of its first request."""
    session = raw.hello(*pack({"services": {"echo": 1}, "name": "raw"}))
    while True:
        envelope = wire.read(raw.socket.recv_multipart()[0])
        if envelope[2] == wire.REQUEST:
            return session, envelope[6]


def test_a_request_that_may_not_be_repeated_fails_with_its_worker(broker, client, make_raw):
    call = echo(client, idempotent=False)
    worker = make_raw(broker.back_end[0])
    take_request(worker)
    worker.close()
    with pytest.raises(ComponentError, match="its worker ended") as caught:
        call.result()
    assert caught.value.kind == "unreachable"


def test_a_request_that_kills_its_workers_is_given_up(broker, client, make_raw):
    call = echo(client)
    for _ in range(3):
        assert not call.is_done
        worker = make_raw(broker.back_end[0])
        take_request(worker)
        worker.close()
    with pytest.raises(ComponentError, match="its worker ended"):
        call.result()
    assert counted(client)["retried"] == 2


def test_a_stream_whose_worker_dies_is_an_error_after_its_first_piece(broker, client, make_raw):
    pieces = client.stream("echo", "count", {"most": 1000, "seconds": 0.0})
    found = []
    reader = threading.Thread(target=lambda: found.append(next(pieces)))
    reader.start()
    worker = make_raw(broker.back_end[0])
    session, key = take_request(worker)
    worker.socket.send_multipart([wire.write(wire.CHUNK, session, key, 0), *pack("first")])
    reader.join(5)
    worker.close()
    assert found == ["first"]
    with pytest.raises(ComponentError, match="its worker ended"):
        list(pieces)


def test_a_piece_that_is_missing_is_noticed(broker, client, make_raw):
    pieces = client.stream("echo", "count", {"most": 1000, "seconds": 0.0})
    reader = threading.Thread(target=lambda: next(pieces, None))
    reader.start()
    worker = make_raw(broker.back_end[0])
    session, key = take_request(worker)
    for number in (0, 2):
        worker.socket.send_multipart([wire.write(wire.CHUNK, session, key, number), *pack("x")])
    reader.join(5)
    with pytest.raises(ComponentError, match="piece 1 of the answer is missing"):
        list(pieces)


def test_a_stream_that_was_read_in_part_is_not_executed_again(opened, make_client, tmp_path):
    """Also if a broker answers a reader's MORE as if its request had not been accepted."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as broker:
        broker.set(zmq.LINGER, 0)
        broker.set(zmq.RCVTIMEO, 5000)
        port = broker.bind_to_random_port("tcp://127.0.0.1")
        client = make_client(f"tcp://127.0.0.1:{port}", heartbeat=60)
        pieces = client.stream("echo", "count", {}, idempotent=False)
        found = []

        def read():
            with pytest.raises(ComponentError, match="the connection was lost"):
                found.extend(pieces)

        reader = threading.Thread(target=read)
        reader.start()
        session, requests = b"earlier!", 0
        while session != b"later..!" or reader.is_alive():
            peer, envelope, *_ = broker.recv_multipart()
            kind, _, _, _, id_ = wire.read(envelope)[2:]
            if kind == wire.HELLO:
                broker.send_multipart([peer, wire.write(wire.WELCOME, session)])
                if session == b"later..!":
                    reader.join(5)
            elif kind == wire.REQUEST:
                requests += 1
                for number in range(wire.WINDOW // 2):
                    chunk = wire.write(wire.CHUNK, session, id_, number)
                    broker.send_multipart([peer, chunk, *pack(number)])
            elif kind == wire.MORE:
                broker.send_multipart([peer, wire.write(wire.RESET, session, id_)])
                session = b"later..!"
        assert found == list(range(wire.WINDOW // 2))
        assert requests == 1
        client.close()


def test_many_threads_share_a_connection(client, make_worker):
    make_worker()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda value: echo(client, value).result()["value"], range(400)))
    assert found == list(range(400))


def test_a_worker_that_is_closed_answers_what_it_has(client, make_worker):
    worker = make_worker(slots=2)
    calls = [echo(client, value, 0.1) for value in range(6)]
    wait_for(lambda: counted(client)["running"] == 2)
    worker.close(wait_seconds=5)
    assert [call.result()["value"] for call in calls[:2]] == [0, 1]
    assert counted(client)["waiting"] == 4
    make_worker(slots=2)
    assert [call.result()["value"] for call in calls] == list(range(6))
    assert client.statistics()["workers_lost"] == 0


class SilentBroker:
    """A broker of one worker, which says nothing but what it is told to say."""

    def __init__(self, address):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.set(zmq.RCVTIMEO, 10_000)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(address)
        self.peer = b""

    def close(self):
        self.socket.close()

    def send(self, kind, id_=0, number=0, body=(), service=b""):
        envelope = wire.write(kind, b"session!", id_, number, 0, service)
        self.socket.send_multipart([self.peer, envelope, *body])

    def next(self, *but):
        """Return kind and session of the next message that is of none of these kinds."""
        while True:
            self.peer, envelope, *_ = self.socket.recv_multipart()
            kind, _, _, session, _ = wire.read(envelope)[2:]
            if kind not in but:
                return kind, session


@pytest.fixture
def silent_broker(tmp_path):
    with closing(SilentBroker(f"ipc://{tmp_path}/back")) as broker:
        yield broker


def given_a_call(broker, address, seconds, **options):
    worker = Worker(address, echo_services(1), **options)
    assert broker.next()[0] == wire.HELLO
    broker.send(wire.WELCOME)
    body = pack(["echo", {"value": 1, "seconds": seconds}])
    broker.send(wire.REQUEST, 1, 60_000, body, b"echo")
    wait_for(lambda: worker._running)
    return worker


def test_a_worker_ends_when_its_answers_were_read(silent_broker, tmp_path):
    """Not when they were sent: what waits in a socket is lost when its process ends."""
    worker = given_a_call(silent_broker, f"ipc://{tmp_path}/back", 0.2, heartbeat=60)
    closer = threading.Thread(target=worker.close, args=(30,))
    closer.start()
    assert silent_broker.next(wire.HELLO)[0] == wire.BYE
    silent_broker.send(wire.BYE)
    assert [silent_broker.next()[0] for _ in range(2)] == [wire.REPLY, wire.BYE]
    closer.join(0.3)
    assert closer.is_alive()
    silent_broker.send(wire.BYE)
    closer.join(10)
    assert not closer.is_alive()


@pytest.mark.parametrize("is_closed", [False, True])
def test_an_answer_outlasts_the_silence_of_a_broker(silent_broker, tmp_path, is_closed):
    """A broker that had no processor for a while still knows the session and its calls."""
    heartbeat = 0.2
    worker = given_a_call(silent_broker, f"ipc://{tmp_path}/back", 1.0, heartbeat=heartbeat)
    closer = threading.Thread(target=worker.close, args=(30 * is_closed,))
    # The worker gives the broker up, finishes, and looks for it with the session that it had.
    wait_for(lambda: not worker._link.session)
    wait_for(lambda: worker._held)
    if is_closed:
        closer.start()
    kind, session = silent_broker.next(wire.PING, wire.BYE)
    while session != b"session!":
        kind, session = silent_broker.next(wire.PING, wire.BYE)
    assert kind == wire.HELLO
    silent_broker.send(wire.WELCOME)
    assert silent_broker.next(wire.HELLO, wire.PING)[0] == wire.REPLY
    if not is_closed:
        closer.start()
    for _ in range(2):
        assert silent_broker.next(wire.HELLO, wire.PING)[0] == wire.BYE
        silent_broker.send(wire.BYE)
    closer.join(10)
    assert not closer.is_alive()


def test_nobody_there_is_said_in_time(make_client):
    client = make_client(NEVER, patience=0.2)
    with pytest.raises(ComponentError, match="nothing answers there") as caught:
        client.call("echo", "echo", {})
    assert caught.value.kind == "unreachable"


def test_a_service_that_nobody_serves_is_named(client, make_worker):
    make_worker()
    with pytest.raises(ComponentError, match=r"no worker serves it \(served are: echo, slow\)"):
        client.call("typo", "echo", {}, timeout=0.3)


def test_an_address_that_is_taken_or_reached_from_outside_is_refused(broker):
    with pytest.raises(ComponentError, match="in use"):
        Broker(broker.front_end[0], "inproc://taken")
    with pytest.raises(SettingsError, match="needs CURVE keys"):
        Broker("tcp://0.0.0.0:0", "inproc://outside")


def test_stored_data_is_not_served_where_other_users_may_connect(broker, client):
    guarded = Service("index", {"read": lambda _: "secret"}, is_guarded=True)
    with pytest.raises(SettingsError, match="over tcp: use CURVE keys"):
        Worker(NEVER, [guarded], heartbeat=HEARTBEAT)
    # The back end is a socket of its user alone, but the front end is not.
    assert (broker.front_end[0][:4], broker.back_end[0][:4]) == ("tcp:", "ipc:")
    call = client.start("index", "read", {})
    with Worker(broker.back_end[0], [guarded], heartbeat=HEARTBEAT) as worker:
        with pytest.raises(SettingsError, match="ipc:// addresses at both ends"):
            worker.run(StopToken())
        with pytest.raises(SettingsError, match="index gives access to stored data"):
            call.result()


def test_stored_data_is_served_over_sockets_of_one_user(make_broker, make_client, opened, tmp_path):
    broker = make_broker(f"ipc://{tmp_path}/private/front")
    guarded = Service("index", {"read": lambda _: "found"}, is_guarded=True)
    opened.enter_context(Worker(broker.back_end[0], [guarded], heartbeat=HEARTBEAT))
    assert make_client(broker.front_end[0]).call("index", "read", {}) == "found"


def test_only_those_with_the_right_key_are_let_in(tmp_path, make_client, opened, caplog):
    caplog.set_level(logging.DEBUG, "zmq.auth")
    keys, strangers = tmp_path / "keys", tmp_path / "strangers"
    make_keys(keys, "client")
    make_keys(keys, "worker")
    make_keys(strangers, "client")
    broker = opened.enter_context(
        Broker("tcp://0.0.0.0:0", "tcp://127.0.0.1:0", keys=keys, heartbeat=HEARTBEAT)
    )
    front = broker.front_end[0].replace("0.0.0.0", "127.0.0.1")
    back = broker.back_end[0]
    options = {"heartbeat": HEARTBEAT}
    opened.enter_context(Worker(back, echo_services(1), keys=load_keys(keys, "worker"), **options))
    client = make_client(front, keys=load_keys(keys, "client"))
    assert echo(client, 3).result()["value"] == 3

    right, wrong = load_keys(keys, "client"), load_keys(strangers, "client")
    without, unknown, other_broker = (
        make_client(front, patience=0.5, keys=each)
        for each in (None, type(right)(wrong.public, wrong.secret, right.broker), wrong)
    )
    calls = [echo(each) for each in (without, unknown, other_broker)]
    for call in calls:
        with pytest.raises(ComponentError, match="nothing answers there"):
            call.result()
    # A client's key opens no back end.
    opened.enter_context(Worker(back, echo_services(5), keys=right, name="fake", **options))
    denial = f"client_key={right.public!r}"
    wait_for(lambda: any("DENIED" in each and denial in each for each in caplog.messages))
    # One that may is there, and the fake one had more time.
    own = load_keys(keys, "worker")
    opened.enter_context(Worker(back, echo_services(1), keys=own, **options))
    wait_for(lambda: counted(client)["workers"] >= 2)
    assert counted(client)["slots"] == 2
    make_keys(keys, "client", "later")
    later = make_client(front, keys=load_keys(keys, "later"))
    assert echo(later, 4).result()["value"] == 4
