"""Kafka for tests: the one that is named, or librdkafka's mock cluster, which fails on request."""

import ctypes
import importlib.util
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.servers.search import PrivateServerUnavailable, ServerUnusable

VARIABLE = "CQRS_TEST_KAFKA_BOOTSTRAP"
NOWHERE = "nobody/listens"  # no name of a topic, so nobody creates it by itself
PRODUCER, UNKNOWN_TOPIC = 0, 3
ANSWER_SECONDS = 30.0
PRODUCE, FETCH, OFFSET_COMMIT = 0, 1, 8  # requests


class KafkaCluster(Protocol):
    """A cluster where topics can be created."""

    @property
    def bootstrap(self) -> str:
        """Where it listens."""
        ...

    def create_topic(self, name: str, partitions: int) -> None:
        """Have a topic."""
        ...


class NamedCluster:
    """A running cluster; it deletes at the end the topics that tests created there."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap, self._created = bootstrap, list[str]()
        self._admin_module: Any = importlib.import_module("confluent_kafka.admin")
        self._admin: Any = self._admin_module.AdminClient({"bootstrap.servers": bootstrap})
        try:
            self._admin.list_topics(timeout=ANSWER_SECONDS)
        except Exception as error:
            raise ServerUnusable(f"{VARIABLE} names {bootstrap}: {error}") from error

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic, and return once the cluster has it."""
        new = self._admin_module.NewTopic(name, partitions, 1)
        self._admin.create_topics([new])[name].result(ANSWER_SECONDS)
        self._created.append(name)

    def delete_topics(self) -> None:
        """Delete what was created."""
        for deleted in self._admin.delete_topics(self._created).values() if self._created else ():
            deleted.result(ANSWER_SECONDS)


class MockCluster:
    """A cluster of one broker in this process; not transactions, nor the admin's requests."""

    def __init__(self, library: Any, handle: int) -> None:
        self._library, self._handle = library, handle

    @property
    def bootstrap(self) -> str:
        """Where it listens."""
        self._library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        return self._call("cluster_bootstraps").decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Have a topic."""
        self._call("topic_create", name.encode(), partitions, 1)

    def fail(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors of the protocol."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._call("push_request_errors_array", ctypes.c_int16(request), len(errors), codes)

    def go_down(self) -> None:
        """Break every connection and refuse new ones."""
        self._call("broker_set_down", 1)

    def come_back(self) -> None:
        """Serve again."""
        self._call("broker_set_up", 1)

    def refuse_topic(self, name: str) -> None:
        """Answer that there is no such topic; else it would be created."""
        self._call("topic_set_error", name.encode(), UNKNOWN_TOPIC)

    def _call(self, name: str, *arguments: Any) -> Any:
        function = getattr(self._library, f"rd_kafka_mock_{name}")
        return function(ctypes.c_void_p(self._handle), *arguments)


@contextmanager
def named_cluster(bootstrap: str) -> Generator[NamedCluster]:
    """Use a running cluster until the block ends.

    Raises:
        ServerUnusable: it does not answer.
    """
    cluster = NamedCluster(bootstrap)
    try:
        yield cluster
    finally:
        cluster.delete_topics()


@contextmanager
def mock_cluster() -> Generator[MockCluster]:
    """Run a mock cluster until the block ends.

    Raises:
        PrivateServerUnavailable: the wheel confluent-kafka is not installed.
    """
    library = ctypes.CDLL(str(_library()))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    problem = ctypes.create_string_buffer(512)
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    client = library.rd_kafka_new(PRODUCER, configuration, problem, len(problem))
    cluster = library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), 1)
    try:
        # else each member that joins a group waits three seconds for others
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(ctypes.c_void_p(cluster), 0)
        mock = MockCluster(library, cluster)
        mock.refuse_topic(NOWHERE)
        yield mock
    finally:
        library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(cluster))
        library.rd_kafka_destroy(ctypes.c_void_p(client))


def _library() -> Path:
    found = importlib.util.find_spec("confluent_kafka")
    if found is None or found.origin is None:
        message = "the wheel confluent-kafka is not installed"
        raise PrivateServerUnavailable(message)
    package = Path(found.origin).parent
    libraries = [*package.with_name("confluent_kafka.libs").glob("librdkafka-*.so*")]
    if not libraries:
        message = "the wheel confluent-kafka brings no librdkafka here"
        raise PrivateServerUnavailable(message)
    return libraries[0]
