"""What the command says when it is told nonsense, or cannot do what it is told."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from cqrs_ddd_cli.durations import duration, shown
from cqrs_ddd_cli.main import app
from cqrs_ddd_core import InMemoryInboxStorage, InMemoryOutboxStorage
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox

from .conftest import MODULE, Broker, Shop


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), env=env)


def fails(result: Result, code: int, *said: str) -> None:
    """See that it is one line that says what to do, with nothing of Python in it."""
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for text in said:
        assert text in result.stderr


class TestWhichStorage:
    def test_nothing_or_two_things_to_work_on_are_refused(self) -> None:
        fails(run("outbox", "status"), 2, "--app module:attribute, or --database URL")
        both = run("outbox", "status", "--app", "a:b", "--database", "sqlite:///x")
        fails(both, 2, "(one of them)")

    def test_the_environment_may_say_it(self, sqlite_shop: Shop) -> None:
        url = sqlite_shop.target[1]
        result = run("outbox", "status", "--json", env={"CQRS_DDD_DATABASE": url})
        assert json.loads(result.stdout)["waiting"] == 0

    def test_a_url_needs_no_driver(self, sqlite_shop: Shop) -> None:
        url = sqlite_shop.target[1].replace("sqlite+aiosqlite", "sqlite")
        assert run("outbox", "status", "--database", url).exit_code == 0

    @pytest.mark.parametrize(
        ("url", "code", "said"),
        [
            ("nonsense:secret", 2, "is no database URL"),
            ("postgresql://me:secret@host:port/x", 2, "is no database URL"),
            ("sqlite:///missing.sqlite", 1, "There is no SQLite file missing.sqlite"),
            ("sqlite://", 1, "There is no SQLite file"),
            ("postgresql://me:secret@127.0.0.1:1/x", 1, "See that the server runs"),
            ("mariadb://me:secret@127.0.0.1:1/x", 1, "See that the server runs"),
        ],
    )
    def test_a_database_that_cannot_be_used_is_one_clear_line(
        self, url: str, code: int, said: str
    ) -> None:
        result = run("outbox", "status", "--database", url)
        fails(result, code, said)
        assert "secret" not in result.stderr
        assert not Path("missing.sqlite").exists()

    def test_a_database_without_the_table_is_told_apart(self, sqlite_shop: Shop) -> None:
        outbox = sqlite_shop.run("outbox", "status", "--table", "outbocks")
        fails(outbox, 1, "no table 'outbocks'", "outbox_blocked", "--table names another")
        inbox = sqlite_shop.run("inbox", "purge", "--older-than", "1d", "--table", "in")
        fails(inbox, 1, "no table 'in'")

    def test_without_the_extra_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "cqrs_ddd_persistence_sqlalchemy", None)
        result = run("outbox", "status", "--database", "sqlite:///shop.sqlite")
        fails(result, 2, "pip install 'cqrs-ddd-cli[postgresql]'", "Or point --app")


class TestWhichApplication:
    class Application(NamedTuple):
        """As applications are: the class has the names, its objects have the things."""

        outbox: InMemoryOutboxStorage
        inbox: InMemoryInboxStorage

    @pytest.fixture
    def application(self) -> "TestWhichApplication.Application":
        return self.Application(InMemoryOutboxStorage(), InMemoryInboxStorage())

    def test_it_may_be_an_object_a_factory_a_coroutine_or_a_context_manager(
        self, module: ModuleType, application: Any
    ) -> None:
        closed: list[str] = []

        async def coroutine() -> Any:
            await asyncio.sleep(0)
            return application

        @asynccontextmanager
        async def context_manager() -> AsyncGenerator[Any]:
            yield application
            closed.append("closed")

        vars(module).update(
            application=application,
            create=lambda: application,
            create_async=coroutine,
            open_it=context_manager,
            nested=SimpleNamespace(create=lambda: context_manager),
        )
        for name in ("application", "create", "create_async", "open_it", "nested.create"):
            result = run("outbox", "status", "--json", "--app", f"{MODULE}:{name}")
            assert (result.exit_code, result.stderr) == (0, ""), name
            purged = run("inbox", "purge", "--older-than", "1d", "--app", f"{MODULE}:{name}")
            assert (purged.exit_code, purged.stdout) == (0, "Purged: 0.\n"), name
        assert closed == ["closed"] * 4

    def test_it_is_found_in_the_folder_the_command_is_run_in(self) -> None:
        Path("shop_in_a_file.py").write_text(
            "from types import SimpleNamespace\n"
            "from cqrs_ddd_core import InMemoryOutboxStorage\n"
            "shop = SimpleNamespace(outbox=InMemoryOutboxStorage())\n"
        )
        command = ["outbox", "status", "--json", "--app", "shop_in_a_file:shop"]
        done = subprocess.run(
            [sys.executable, "-m", "cqrs_ddd_cli", *command],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["waiting"] == 0

    @pytest.mark.parametrize(
        ("reference", "said"),
        [
            ("shop", "write it as package.module:attribute"),
            ("no_such_shop:app", "There is no module 'no_such_shop'"),
            (f"{MODULE}:applicatoin", "Did you mean 'application'?"),
            (f"{MODULE}:application.inboks", "has no 'application.inboks'"),
            (f"{MODULE}:number", "gives a int, but an application with an outbox is needed"),
            (f"{MODULE}:demanding", "needs arguments"),
            (f"{MODULE}:buffered", "is a BufferedOutbox, which cannot be looked after"),
        ],
    )
    def test_one_that_is_none_is_one_clear_line(
        self, module: ModuleType, application: Any, reference: str, said: str
    ) -> None:
        buffered = BufferedOutbox(application.outbox, Broker())
        vars(module).update(
            application=application,
            number=7,
            demanding=Shop,
            buffered=SimpleNamespace(outbox=buffered),
        )
        fails(run("outbox", "status", "--app", reference), 2, said)

    def test_a_module_that_fails_says_where_and_shows_the_traceback_on_request(self) -> None:
        Path("broken_shop.py").write_text("import json\nshop = undefined\n")
        result = run("outbox", "status", "--app", "broken_shop:shop")
        fails(
            result,
            2,
            "cannot be imported: NameError",
            "broken_shop.py:2",
            "CQRS_DDD_DEBUG=1 shows where",
        )
        debug = {"CQRS_DDD_DEBUG": "1"}
        result = run("outbox", "status", "--app", "broken_shop:shop", env=debug)
        assert "Traceback" in result.stderr

    def test_a_module_that_misses_another_is_not_taken_for_missing_itself(self) -> None:
        Path("needy_shop.py").write_text("import not_installed_at_all\n")
        result = run("outbox", "status", "--app", "needy_shop:shop")
        fails(result, 2, "needy_shop cannot be imported", "'not_installed_at_all'")

    def test_an_error_of_the_application_is_one_line_too(self, module: ModuleType) -> None:
        def create() -> None:
            raise OSError("the configuration\nis gone")

        vars(module)["create"] = create
        result = run("outbox", "status", "--app", f"{MODULE}:create")
        fails(result, 1, "Error: OSError: the configuration is gone")


@pytest.mark.parametrize(
    "command",
    [
        ["outbox", "status"],
        ["outbox", "list"],
        ["outbox", "dead-letters"],
        ["outbox", "redrive"],
        ["outbox", "discard"],
        ["outbox", "purge"],
        ["inbox", "purge"],
        ["worker", "run"],
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = run(*command, "--help", env={"COLUMNS": "80", "TERM": "dumb"})
    assert result.exit_code == 0
    assert f"Usage: cqrs-ddd {' '.join(command)}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_version_is_that_of_the_distribution() -> None:
    assert run("--version").stdout == "0.1.0\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert shown(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5h", 5400), (" 7D ", 604_800), ("2 w", 1_209_600)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration(text).total_seconds() == seconds
