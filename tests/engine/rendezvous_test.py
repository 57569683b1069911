"""How processes find each other: what a launcher says, checked and tried."""

import socket
import threading

import jax
import pytest

from ckda_jax.engine import rendezvous
from ckda_jax.engine.rendezvous import Rendezvous
from ckda_jax.structs import InputError


def named(monkeypatch, **values):
    """Set the variables of a launcher, and no other ones."""
    for name in ("COORDINATOR", "PROCESSES", "PROCESS", "TIMEOUT"):
        variable = getattr(rendezvous, name)
        monkeypatch.delenv(variable, raising=False)
        if name in values:
            monkeypatch.setenv(variable, values[name])


@pytest.fixture
def joined(monkeypatch):
    """Catch what JAX would join processes with."""
    caught = {}

    def initialize(address=None, **options):
        caught.update(options, address=address)

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    return caught


@pytest.fixture
def listener():
    """Listen where process 0 would."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def free_address() -> str:
    """Find an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_process_alone_joins_nobody(monkeypatch, joined):
    named(monkeypatch, PROCESSES="2")
    rendezvous.join()
    assert joined == {}


def test_a_launchers_environment_names_the_others(monkeypatch, joined, listener):
    named(monkeypatch, COORDINATOR=listener, PROCESSES="4", PROCESS="3", TIMEOUT="7")
    monkeypatch.setenv(rendezvous.HEARTBEAT, "9")
    rendezvous.join()
    assert joined == {
        "address": listener,
        "num_processes": 4,
        "process_id": 3,
        "cluster_detection_method": "deactivate",
        "initialization_timeout": 7 + rendezvous.MARGIN,
        "heartbeat_timeout_seconds": 9,
    }


def test_the_first_process_needs_no_listener_but_a_free_port(monkeypatch, joined):
    address = free_address()
    named(monkeypatch, COORDINATOR=address, PROCESSES="4", PROCESS="0")
    rendezvous.join()
    assert (joined["address"], joined["process_id"]) == (address, 0)


def test_a_port_that_another_program_listens_on_is_refused(
    monkeypatch, joined, listener
):
    named(monkeypatch, COORDINATOR=listener, PROCESSES="4", PROCESS="0")
    with pytest.raises(InputError, match=f"{listener}: process 0 cannot listen.*anoth"):
        rendezvous.join()
    assert joined == {}


def test_jax_finds_the_others_where_it_is_told_to(monkeypatch, joined):
    named(monkeypatch, COORDINATOR="auto", TIMEOUT="9")
    rendezvous.join()
    assert joined == {
        "address": None,
        "initialization_timeout": 9,
        "heartbeat_timeout_seconds": rendezvous.DEFAULT_HEARTBEAT,
    }


def test_a_place_without_a_cluster_is_told(monkeypatch):
    named(monkeypatch, COORDINATOR="auto")

    def initialize(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(InputError, match="=auto, but JAX finds no cluster here"):
        rendezvous.join()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, r"CKDA_PROCESSES is not set, but CKDA_COORDINATOR=host:1 is; set"),
        ({"PROCESSES": "2"}, r"CKDA_PROCESS is not set, but CKDA_COORDINATOR=host:1"),
        ({"PROCESSES": "two"}, r"CKDA_PROCESSES=two: must be an integer of at least 1"),
        ({"PROCESSES": "0"}, r"CKDA_PROCESSES=0: must be an integer of at least 1"),
        ({"PROCESSES": "2", "PROCESS": "-1"}, r"CKDA_PROCESS=-1: must be an integer"),
        ({"PROCESSES": "2", "PROCESS": "2"}, r"CKDA_PROCESS=2: must be below .*=2;"),
        ({"TIMEOUT": "soon"}, r"CKDA_TIMEOUT=soon: must be an integer of at least 1"),
        ({"COORDINATOR": "host"}, r"CKDA_COORDINATOR=host: must be HOST:PORT"),
        ({"COORDINATOR": "host:0"}, r"CKDA_COORDINATOR=host:0: must be HOST:PORT"),
        ({"COORDINATOR": "host:70000"}, r"=host:70000: must be HOST:PORT with a port"),
        ({"COORDINATOR": ":80"}, r"CKDA_COORDINATOR=:80: must be HOST:PORT"),
        ({"COORDINATOR": "a..b:80"}, r"=a..b:80: must be HOST:PORT"),
        ({"COORDINATOR": f"{'a' * 64}:80"}, r"=a+:80: must be HOST:PORT"),
        ({"TIMEOUT": "10000000000"}, r"CKDA_TIMEOUT=10000000000: .* 6 digits at most"),
    ],
)
def test_a_bad_variable_is_named_with_its_value(monkeypatch, joined, values, said):
    named(monkeypatch, **({"COORDINATOR": "host:1"} | values))
    with pytest.raises(InputError, match=said):
        rendezvous.join()
    assert joined == {}


@pytest.mark.parametrize("index", ["0", "1"])
def test_a_coordinator_nobody_knows_is_named(monkeypatch, joined, index):
    address = f"nowhere.invalid:{free_address().rpartition(':')[2]}"
    named(monkeypatch, COORDINATOR=address, PROCESSES="2", PROCESS=index, TIMEOUT="1")
    with pytest.raises(InputError, match=f"{address}: not reached within .*=1 s"):
        rendezvous.join()
    assert joined == {}


def test_a_coordinator_that_does_not_listen_is_named(monkeypatch, joined):
    address = free_address()
    named(monkeypatch, COORDINATOR=address, PROCESSES="2", PROCESS="1", TIMEOUT="1")
    with pytest.raises(InputError, match="within CKDA_TIMEOUT=1 s .Connection refused"):
        rendezvous.join()
    assert joined == {}


def test_a_coordinator_that_listens_late_is_waited_for(joined):
    address = free_address()
    host, port = address.split(":")
    place = Rendezvous(host=host, port=int(port), count=2, index=1, timeout=30)
    waiting = threading.Thread(target=place.join)
    waiting.start()
    with socket.create_server((host, int(port))):
        waiting.join(30)
    assert joined["address"] == address


def test_processes_that_do_not_come_are_missed_in_time(monkeypatch, listener):
    never = threading.Event()
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **__: never.wait())
    named(monkeypatch, COORDINATOR=listener, PROCESSES="2", PROCESS="1", TIMEOUT="1")
    with pytest.raises(InputError, match="=2, but not all of them came to .*=1 s; see"):
        rendezvous.join()
    never.set()


def test_what_jax_says_against_joining_is_told(monkeypatch, listener):
    def initialize(*_, **__):
        raise RuntimeError("should only be called once")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    named(monkeypatch, COORDINATOR=listener, PROCESSES="2", PROCESS="1")
    with pytest.raises(InputError, match="process 1 of 2 could not join .should only"):
        rendezvous.join()
