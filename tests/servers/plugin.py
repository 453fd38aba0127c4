"""The fixtures: the URL of an empty database on a real server, for a test or for a module."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.servers.databases import Database, mariadb_database, postgres_database
from tests.servers.kafka import VARIABLE as KAFKA_VARIABLE
from tests.servers.kafka import KafkaCluster, MockCluster, mock_cluster, named_cluster
from tests.servers.mariadb import MARIADB
from tests.servers.postgres import POSTGRES
from tests.servers.rabbitmq import RABBITMQ, RestartableRabbitMQ, restartable
from tests.servers.search import (
    Place,
    PrivateServerUnavailable,
    Search,
    Server,
    ServerMissing,
    in_ci,
)
from tests.servers.sqs import RestartableSQS, sqs_endpoint
from tests.servers.sqs import restartable as restartable_moto

TAKEN = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """A PostgreSQL where databases can be created."""
    with ExitStack() as stack:
        yield _find(POSTGRES, stack, pytestconfig)


@pytest.fixture(scope="session")
def mariadb_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """A MariaDB where databases can be created."""
    with ExitStack() as stack:
        yield _find(MARIADB, stack, pytestconfig)


@pytest.fixture(scope="session")
def rabbitmq_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """A RabbitMQ where exchanges and queues can be declared."""
    with ExitStack() as stack:
        yield _find(RABBITMQ, stack, pytestconfig)


@pytest.fixture
def rabbitmq_url(rabbitmq_server: Server) -> str:
    """A RabbitMQ; whatever is declared there has a name of its own, and is deleted after."""
    return rabbitmq_server.url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def restartable_rabbitmq(pytestconfig: pytest.Config) -> Iterator[RestartableRabbitMQ]:
    """A RabbitMQ that the tests of one module may stop and start again."""
    with ExitStack() as stack:
        try:
            yield restartable(stack)
        except PrivateServerUnavailable as missing:
            if in_ci():
                raise
            pytest.skip(str(missing))


@pytest.fixture(scope="session")
def mock_kafka(pytestconfig: pytest.Config) -> Iterator[MockCluster]:
    """A mock cluster of Kafka, which fails on request."""
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(mock_cluster())
        except PrivateServerUnavailable as missing:
            if in_ci():
                raise
            pytest.skip(str(missing))
        pytestconfig.stash[TAKEN]["Kafka, mock"] = cluster.bootstrap
        yield cluster


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    """A Kafka; each test uses topics and groups of its own."""
    named = os.environ.get(KAFKA_VARIABLE)
    if not named:
        yield request.getfixturevalue("mock_kafka")
        return
    with named_cluster(named) as cluster:
        request.config.stash[TAKEN]["Kafka"] = f"{KAFKA_VARIABLE} at {named}"
        yield cluster


@pytest.fixture(scope="session")
def real_kafka(kafka: KafkaCluster) -> KafkaCluster:
    """A Kafka that is no mock: for what the mock cluster cannot do."""
    if isinstance(kafka, MockCluster):
        pytest.skip(f"the mock cluster of Kafka cannot do it; {KAFKA_VARIABLE} names a real one")
    return kafka


@pytest.fixture(scope="session")
def sqs_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The endpoint of an SQS where queues can be created."""
    with sqs_endpoint() as (url, source):
        pytestconfig.stash[TAKEN]["SQS"] = f"{source} at {url}"
        yield url


@pytest.fixture
def restartable_sqs() -> Iterator[RestartableSQS]:
    """An SQS that a test may stop and start again."""
    with restartable_moto() as server:
        yield server


@pytest.fixture(scope="session")
def session_postgres(postgres_server: Server) -> Iterator[Database]:
    """The database that the tests of this session share, one after another."""
    with postgres_database(postgres_server) as database:
        yield database


@pytest.fixture(scope="session")
def session_mariadb(mariadb_server: Server) -> Iterator[Database]:
    """The database that the tests of this session share, one after another."""
    with mariadb_database(mariadb_server) as database:
        yield database


@pytest.fixture
def empty_postgres(session_postgres: Database) -> Database:
    """The session's PostgreSQL database, emptied for this test."""
    session_postgres.empty()
    return session_postgres


@pytest.fixture
def postgres_url(empty_postgres: Database) -> str:
    """An empty PostgreSQL database for asyncpg."""
    return empty_postgres.url_for("postgresql+asyncpg")


@pytest.fixture
def postgres_psycopg_url(empty_postgres: Database) -> str:
    """An empty PostgreSQL database for psycopg; in one test the same as ``postgres_url``."""
    return empty_postgres.url_for("postgresql+psycopg")


@pytest.fixture
def mariadb_url(session_mariadb: Database) -> str:
    """An empty MariaDB database for aiomysql."""
    session_mariadb.empty()
    return session_mariadb.url_for("mysql+aiomysql")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet, for aiosqlite."""
    return f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite'}"


@pytest.fixture(scope="module")
def module_postgres_url(postgres_server: Server) -> Iterator[str]:
    """A PostgreSQL database that the tests of one module share, for asyncpg."""
    with postgres_database(postgres_server) as database:
        yield database.url_for("postgresql+asyncpg")


@pytest.fixture(scope="module")
def module_mariadb_url(mariadb_server: Server) -> Iterator[str]:
    """A MariaDB database that the tests of one module share, for aiomysql."""
    with mariadb_database(mariadb_server) as database:
        yield database.url_for("mysql+aiomysql")


@pytest.fixture(scope="module")
def module_sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite file that the tests of one module share, for aiosqlite."""
    return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite') / 'module.sqlite'}"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TAKEN] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what an xdist worker took to the process that prints the summary."""
    worker: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if worker is not None:
        worker["servers"] = session.config.stash[TAKEN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[TAKEN].update(getattr(node, "workeroutput", {}).get("servers", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which server the tests ran on."""
    for name, taken in sorted(config.stash[TAKEN].items()):
        terminalreporter.write_line(f"{name}: {taken}")


def _find(place: Place, stack: ExitStack, config: pytest.Config) -> Server:
    try:
        server = Search(place, stack).run()
    except ServerMissing as missing:
        config.stash[TAKEN][place.name] = str(missing)
        if in_ci():
            raise
        pytest.skip(str(missing))
    config.stash[TAKEN][place.name] = str(server)
    return server
