"""The commands as a user types them."""

import csv
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from cqrs_ddd_cli.main import app as toolkit
from order_fulfilment.main import app
from order_fulfilment.presentation import progress_bar

CsvFile = Callable[..., Path]
SALE = "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,France"
WRONG = "536589,21777,,-10,2010-12-01 16:50:00,0.0,,United Kingdom"
KEYS = [
    *("orders", "cancellations", "rows_accepted", "rows_rejected"),
    *("gross_revenue", "refunds", "net_revenue", "revenue_by_country", "revenue_by_month"),
    *("top_products", "stock_movements"),
]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails_with(result: Result, message: str) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_import_says_what_became_of_the_rows_and_writes_the_rejects(csv_file: CsvFile) -> None:
    path = csv_file(SALE, SALE, WRONG)
    result = run("import", path)
    assert "3 rows read, 2 accepted, 1 rejected" in result.stdout
    with Path("orders.rejects.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["line", "reason", "row"],
        ["4", "an order hands goods out, but the quantity is -10", WRONG],
    ]


def test_a_second_import_of_a_file_writes_the_same_rejects_and_changes_nothing(
    csv_file: CsvFile, database_url: str
) -> None:
    path = csv_file(SALE, WRONG)
    outputs: list[tuple[str, str]] = []
    for rejects in (Path("a.csv"), Path("b.csv")):
        run("import", path, "--database", database_url, "--rejects", rejects)
        report = run("report", "--json", "--database", database_url)
        outputs.append((rejects.read_text(), report.stdout))
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0][1])["rows_rejected"] == 1


def test_report_prints_exact_money_under_the_promised_keys(csv_file: CsvFile) -> None:
    back = "C536367,71053,LANTERN,-1,2011-01-03 10:00:00,0.001,,Norway"
    run("import", csv_file(SALE, back))
    report: dict[str, Any] = json.loads(run("report", "--json").stdout)
    assert list(report) == KEYS
    assert report == {
        "orders": 1,
        "cancellations": 1,
        "rows_accepted": 2,
        "rows_rejected": 0,
        "gross_revenue": "20.34",
        "refunds": "-0.001",
        "net_revenue": "20.339",
        "revenue_by_country": {"France": "20.34", "Norway": "-0.001"},
        "revenue_by_month": {"2010-12": "20.34", "2011-01": "-0.001"},
        "top_products": [
            {"stock_code": "71053", "description": "LANTERN", "net_revenue": "20.339"}
        ],
        "stock_movements": {"71053": 5},
    }


def test_report_without_json_is_for_people(csv_file: CsvFile) -> None:
    run("import", csv_file(SALE))
    result = run("report")
    assert result.exit_code == 0
    for text in ("gross revenue", "20.34", "71053 LANTERN", "Net revenue by month"):
        assert text in result.stdout


def test_an_empty_shop_has_a_report_on_every_database(database_url: str) -> None:
    result = run("report", "--json", "--database", database_url)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["orders"] == 0


def test_demo_prints_the_same_report_however_often_it_runs() -> None:
    first, second = run("demo"), run("demo")
    assert (first.exit_code, second.exit_code) == (0, 0)
    report = first.stdout.partition("\n")[2]
    assert "gross revenue" in report
    assert second.stdout.partition("\n")[2] == report
    assert json.loads(run("report", "--json").stdout)["rows_accepted"] > 2000


def test_a_rebuild_says_what_the_figures_stand_on_and_leaves_them_as_they_were(
    csv_file: CsvFile,
) -> None:
    run("import", csv_file(SALE, SALE.replace("536365", "536366")))
    before = run("report", "--json").stdout
    result = run("rebuild")
    assert (result.exit_code, result.stdout) == (0, "The figures are those of 3 events.\n")
    assert run("report", "--json").stdout == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv"], "missing.csv is no file"),
        (["orders.csv", "--rejects", "nowhere/r.csv"], "name a file in an existing folder"),
        (["orders.csv", "--rejects", "orders.csv"], "is the file to be imported"),
        (["orders.csv", "--database", "nonsense:secret"], "is no database URL"),
        (["orders.csv", "--database", "mysql://me:secret@host:port/x"], "is no database URL"),
        (["orders.csv", "--database", "oracle://host/x"], "There is no database 'oracle'"),
        (["orders.csv", "--database", "postgresql+pg8000://host/x"], "cannot be used"),
        (["orders.csv", "--database", "sqlite:///nowhere/x.sqlite"], "cannot be used"),
        (["orders.csv", "--database", "sqlite:///orders.csv"], "cannot be used"),
        (["orders.csv", "--database", "postgresql://me:secret@127.0.0.1:1/x"], "cannot be used"),
        (["orders.csv", "--database", "mariadb://me:secret@127.0.0.1:1/x"], "cannot be used"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    csv_file: CsvFile, arguments: list[str], message: str
) -> None:
    csv_file(SALE)
    result = run("import", *arguments)
    fails_with(result, message)
    assert "secret" not in result.stderr


def test_a_file_of_another_format_is_one_clear_line() -> None:
    Path("other.csv").write_text("a,b\n1,2\n")
    fails_with(run("import", "other.csv"), "lacks the columns InvoiceNo, StockCode")


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///x.sqlite", "sqlite+aiosqlite:///x.sqlite"),
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("mysql://u@h/d", "mysql+aiomysql://u@h/d"),
        ("mariadb://u@h/d", "mariadb+aiomysql://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_short_urls_get_their_asynchronous_driver(given: str, driver: str) -> None:
    from order_fulfilment.infrastructure.database import async_url  # noqa: PLC0415

    assert async_url(given) == driver


def test_an_interrupted_import_ends_with_130_and_goes_on_when_run_again(csv_file: CsvFile) -> None:
    rows = [SALE.replace("536365", str(100_000 + number // 10)) for number in range(5_000)]
    path = csv_file(*rows)
    code = "from order_fulfilment.main import app; app()"
    command = [sys.executable, "-c", code, "import", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while not Path("order-fulfilment.sqlite-wal").exists() and child.poll() is None:
            pass
        child.send_signal(signal.SIGINT)
        _, error = child.communicate()
    assert child.returncode == 130
    assert "run the same command again" in error
    assert "Traceback" not in error
    result = run("report", "--json")
    assert result.exit_code == 0, (result.output, error)
    before = json.loads(result.stdout)["rows_accepted"]
    assert before < len(rows)
    assert f"{len(rows)} accepted" in run("import", path).stdout
    assert json.loads(run("report", "--json").stdout)["rows_accepted"] == len(rows)


@pytest.mark.parametrize("on_terminal", [True, False])
def test_progress_is_shown_with_rate_and_time_left_on_a_terminal_only(on_terminal: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=on_terminal, width=100)
    with progress_bar(console, "orders.csv", 4000, "lines") as advance:
        for line in range(0, 3000, 500):
            advance(line)
    shown = output.getvalue()
    assert all((text in shown) == on_terminal for text in ("orders.csv", "lines/s", "0:00:0"))


def test_domain_and_application_know_of_no_database_driver_and_no_screen() -> None:
    code = (
        "import sys, order_fulfilment.application as _;"
        "print({'sqlalchemy', 'rich', 'typer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_purchases_are_fulfilled_and_their_sagas_can_be_looked_at() -> None:
    result = run("fulfil", "6", "--time-to-pay", "0.2")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    counts = [int(row[-1]) for row in rows if row and row[-1].isdigit()]
    assert sum(counts) == 6
    assert "shipped and confirmed" in result.stdout
    assert "cards charged" in result.stdout
    found = CliRunner().invoke(
        toolkit, ["sagas", "stats", "--database", "sqlite:///order-fulfilment.sqlite", "--json"]
    )
    assert sum(json.loads(found.stdout)["fulfilment"].values()) == 6
