"""What the services of ZeroMQ send: headers, arrays, envelopes, errors, addresses and keys."""

import math
import stat

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvasir.core.errors import (
    CollectionNotFoundError,
    ComponentError,
    ConflictError,
    SettingsError,
    StorageError,
    WireError,
)
from kvasir.remote.zeromq.addresses import Address, check_bind
from kvasir.remote.zeromq.curve_keys import AllowedKeys, load_keys, make_keys
from kvasir.remote.zeromq.failures import pack_error, unpack_error
from kvasir.remote.zeromq.packing import pack, unpack

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value):
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("dtype", ["float32", ">f4", "int64", "uint32", "bool", "uint8"])
def test_arrays_travel_in_frames_of_their_own(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    frames = pack({"deep": [array, "text"], "turned": array.T, "none": np.zeros((0, 3), "f4")})
    assert len(frames) == 4
    found = unpack(frames)
    np.testing.assert_array_equal(found["deep"][0], array)
    np.testing.assert_array_equal(found["turned"], array.T)
    assert found["deep"][0].dtype == array.dtype.newbyteorder("=")
    assert found["none"].shape == (0, 3)
    found["deep"][0][0, 0] = 1  # It is the receiver's own.


def test_what_a_sender_does_with_an_array_afterwards_reaches_no_message():
    array = np.ones(4, np.float32)
    frames = pack(array)
    array[:] = 7
    assert unpack(frames).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), [1 << 10_000]])
def test_what_has_no_form_is_refused(value):
    with pytest.raises(WireError):
        pack(value)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"\xc1"],
        [b"garbage"],
        [msgpack.packb([1]) + b"more"],
        [b"\x91" * 100_000],
        [b"\xdd\xff\xff\xff\xff"],
        [msgpack.packb({1: 2})],
        [msgpack.packb(msgpack.ExtType(1, msgpack.packb([1, "<f4", [1]])))],
        [msgpack.packb(msgpack.ExtType(1, msgpack.packb([1, "<f4", [2]]))), b"1234"],
        [msgpack.packb(msgpack.ExtType(1, msgpack.packb([1, "|O", [1]]))), b"12345678"],
        [msgpack.packb(msgpack.ExtType(1, msgpack.packb([1, "<f4", [-1]]))), b"1234"],
        [msgpack.packb(msgpack.ExtType(1, msgpack.packb([1, "<f4", [2**63]]))), b"1234"],
        [msgpack.packb(msgpack.ExtType(1, msgpack.packb([0, "<f4", [1]]))), b"1234"],
        [msgpack.packb([msgpack.ExtType(1, msgpack.packb([1, "<f4", [1]]))] * 2), b"1234"],
        [msgpack.packb(msgpack.ExtType(1, b"x"))],
        [msgpack.packb(msgpack.ExtType(2, b"x" * 5000))],
        [msgpack.packb(msgpack.ExtType(77, b"x"))],
    ],
)
def test_a_malformed_header_is_refused(frames):
    with pytest.raises(WireError):
        unpack(frames)


@given(st.lists(st.binary(), max_size=3))
def test_garbage_never_raises_anything_else(frames):
    try:
        unpack(frames)
    except WireError:
        return


def test_an_error_arrives_with_its_class_and_fields():
    error = unpack_error(pack_error(CollectionNotFoundError("papers", ["one", "two"])))
    assert type(error) is CollectionNotFoundError
    assert error.known == ("one", "two")
    busy = ComponentError("llm", "x", "y", kind="busy", retry_after=2.0)
    found = unpack_error(pack_error(busy))
    assert (found.code, found.kind, found.retry_after) == ("component_busy", "busy", 2.0)
    assert "cannot be read" in str(unpack_error([b"garbage"]))


@pytest.mark.parametrize(
    "text", ["tcp://127.0.0.1:7781", "tcp://[::1]:0", "ipc:///run/kvasir/llm", "inproc://llm"]
)
def test_addresses_are_read_and_written(text):
    assert str(Address.parse(text)) == text
    assert Address.parse(text).is_private


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:7781", "udp://x:1", "tcp://x", "tcp://x:y", "tcp://x:70000", "tcp://:1", "ipc://",
     "ipc://relative/path", "ipc:///" + "x" * 200, "ipc://@abstract", "tcp://x:٣"],
)  # fmt: skip
def test_other_texts_are_no_addresses(text):
    with pytest.raises(SettingsError):
        Address.parse(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "::", "eth0", "192.168.1.5", "kb.example.org"])
def test_nothing_listens_beyond_this_machine_without_keys(host):
    address = Address("tcp", host, 7781)
    with pytest.raises(SettingsError, match="needs CURVE keys"):
        check_bind(address, has_keys=False)
    check_bind(address, has_keys=True)


def test_the_folder_of_a_socket_is_its_users_alone(tmp_path):
    address = Address("ipc", str(tmp_path / "new" / "socket"))
    check_bind(address, has_keys=False)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    (tmp_path / "new").chmod(0o755)
    with pytest.raises(StorageError, match="0700"):
        check_bind(address, has_keys=False)


def test_keys_are_made_once_and_read_by_their_owner_alone(tmp_path):
    folder = tmp_path / "keys"
    made = make_keys(folder, "client")
    assert {each.name for each in made} == {
        "broker.key", "broker.key_secret", "client.key", "client.key_secret",
    }  # fmt: skip
    more = make_keys(folder, "worker", "gpu-1")
    assert [each.relative_to(folder).as_posix() for each in more] == [
        "workers/gpu-1.key", "gpu-1.key_secret",
    ]  # fmt: skip
    secrets = list(folder.glob("*.key_secret"))
    assert len(secrets) == 3
    assert {stat.S_IMODE(each.stat().st_mode) for each in secrets} == {0o600}
    assert load_keys(folder, "gpu-1").broker == load_keys(folder, "broker").public
    assert "secret" not in repr(load_keys(folder, "client"))
    with pytest.raises(ConflictError, match="already"):
        make_keys(folder, "client")
    with pytest.raises(SettingsError, match="cannot name"):
        make_keys(folder, "client", "../evil")
    (folder / "client.key_secret").write_text("nonsense")
    with pytest.raises(SettingsError, match="no CURVE key"):
        load_keys(folder, "client")
    with pytest.raises(SettingsError, match="no CURVE key"):
        load_keys(folder, "missing")


def test_a_file_that_is_no_key_keeps_no_other_key_out(tmp_path, caplog):
    make_keys(tmp_path, "client", "ada")
    make_keys(tmp_path, "client", "bob")
    ada, bob = (load_keys(tmp_path, name).public for name in ("ada", "bob"))
    files = {name: tmp_path / "clients" / f"{name}.key" for name in ("ada", "bob")}
    whole = files["bob"].read_text()
    allowed = AllowedKeys(tmp_path / "clients")
    assert allowed.callback("", ada)
    # Half a file, in place: the time of the folder stays as it was.
    for half in (whole[: whole.index(bob.decode()) + 10], ""):
        files["bob"].write_text(half)
        allowed.refresh()
        assert (allowed.callback("", ada), allowed.callback("", bob)) == (True, False)
        assert f"'{files['bob']}' is no CURVE key" in caplog.text
        with pytest.raises(SettingsError, match=r"bob\.key' is no CURVE key"):
            AllowedKeys(tmp_path / "clients")
        caplog.clear()
        allowed.refresh()
        assert not caplog.text
    files["bob"].write_text(whole)
    files["ada"].unlink()
    allowed.refresh()
    assert (allowed.callback("", ada), allowed.callback("", bob)) == (False, True)


def test_numbers_keep_their_types():
    value = {"int": 3, "float": 3.0, "yes": True, "minus": -0.0}
    found = unpack(pack(value))
    assert {name: type(each) for name, each in found.items()} == {
        name: type(each) for name, each in value.items()
    }
    assert math.copysign(1, found["minus"]) == -1
