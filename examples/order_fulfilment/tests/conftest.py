"""What the example's tests share: databases, files, and a plain recomputation of the report."""

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cqrs_ddd_advanced_core.background_jobs import InMemoryBackgroundJobRepository
from cqrs_ddd_advanced_core.sagas import InMemorySagaRepository
from cqrs_ddd_core import (
    InMemoryDatabase,
    InMemoryEventStore,
    InMemoryInboxStorage,
    InMemoryOutboxStorage,
    InMemoryProjectionStorage,
    InMemoryReadModel,
    InMemoryUnitOfWork,
)
from cqrs_ddd_core.runtime import Worker
from order_fulfilment.application import (
    SALES,
    Application,
    Figures,
    GetSalesReport,
    SalesReport,
    ShopRepositories,
    Stores,
    build_application,
)
from order_fulfilment.infrastructure.event_sourcing import with_event_sourced_cancellations
from order_fulfilment.infrastructure.sample import write_sample

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
REAL_FILES = ("2010-12-01.csv", "2011-03-17.csv")
Recompute = Callable[[Iterable[Path], set[tuple[str, int]]], dict[str, Any]]


@pytest.fixture(params=["sqlite_url", "postgres_url", "mariadb_url"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database on each server."""
    return request.getfixturevalue(request.param)


class ShopInMemory(ShopRepositories, InMemoryUnitOfWork):
    """One transaction of the shop in memory."""


@pytest.fixture(params=["state", "events"])
async def shop(request: pytest.FixtureRequest) -> Application:
    """The shop in memory; cancellations are kept by state, or as events."""
    database, event_store, read_model = (
        InMemoryDatabase(),
        InMemoryEventStore(),
        InMemoryReadModel(),
    )
    uow_class = ShopInMemory
    if request.param == "events":
        uow_class = with_event_sourced_cancellations(ShopInMemory, event_store)

    async def read_sales() -> dict[tuple[str, str], Figures]:
        return {key: Figures(**row) for key, row in read_model.read(SALES).items()}

    return await build_application(
        Stores(
            uow_factory=lambda: uow_class(database),
            outbox=InMemoryOutboxStorage(),
            inbox=InMemoryInboxStorage(),
            event_store=event_store,
            checkpoints=InMemoryProjectionStorage(),
            read_model=read_model,
            read_sales=read_sales,
            sagas=InMemorySagaRepository(),
            timers=InMemoryBackgroundJobRepository(),
        )
    )


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file with the usual header and these rows."""

    def write(*rows: str, name: str = "orders.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes("\n".join([HEADER, *rows, ""]).encode(encoding))
        return path

    return write


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the demo makes."""
    path = tmp_path_factory.mktemp("sample") / "demo.csv"
    write_sample(path)
    return path


@pytest.fixture(params=["demo", *REAL_FILES])
def orders_file(request: pytest.FixtureRequest, sample: Path) -> Path:
    """The demo's file, and the two real ones where they are at hand."""
    return sample if request.param == "demo" else real_file(request.param)


@pytest.fixture(params=["demo", "real"])
def orders_files(request: pytest.FixtureRequest, sample: Path) -> list[Path]:
    """The demo's file; the two real ones together, where they are at hand."""
    return [sample] if request.param == "demo" else [real_file(name) for name in REAL_FILES]


def real_file(name: str) -> Path:
    """Return one of the real files; skip the test where it is not at hand."""
    beside_checkout = Path(__file__).parents[4] / "shared" / "data" / "online-retail"
    path = Path(os.environ.get("CQRS_TEST_ONLINE_RETAIL", beside_checkout)) / name
    if not path.is_file():
        pytest.skip(f"{path} is not there; name its folder in CQRS_TEST_ONLINE_RETAIL")
    return path


@pytest.fixture
def report_of() -> Callable[[Application], Any]:
    """Ask a shop for its report, when the figures are up to date."""

    async def ask(shop: Application) -> SalesReport:
        async with Worker([shop.sales.worker()]):
            await shop.sales.wait_for(await shop.stores.event_store.latest_position())
        return (await shop.mediator.query(GetSalesReport())).result

    return ask


@pytest.fixture
def recompute() -> Recompute:
    """Return the report of tidy files, computed without any of the example's code."""
    return _recompute


def _recompute(paths: Iterable[Path], rejected: set[tuple[str, int]]) -> dict[str, Any]:
    """Add up the rows of ``paths`` that are not among ``rejected`` (name of file, line)."""
    rows = [
        row
        for path in paths
        for number, row in enumerate(_rows(path), start=2)
        if (path.name, number) not in rejected
    ]
    worth = [(row, int(row["Quantity"]) * Decimal(row["UnitPrice"])) for row in rows]
    by_country: dict[str, Decimal] = defaultdict(Decimal)
    by_month: dict[str, Decimal] = defaultdict(Decimal)
    by_product: dict[str, Decimal] = defaultdict(Decimal)
    moved: dict[str, int] = defaultdict(int)
    for row, amount in worth:
        by_country[row["Country"]] += amount
        by_month[row["InvoiceDate"][:7]] += amount
        by_product[row["StockCode"]] += amount
        moved[row["StockCode"]] += int(row["Quantity"])
    gross = sum((a for row, a in worth if row["InvoiceNo"][0] != "C"), Decimal(0))
    refunds = sum((a for row, a in worth if row["InvoiceNo"][0] == "C"), Decimal(0))
    invoices = {row["InvoiceNo"] for row in rows}
    return {
        "orders": sum(not number.startswith("C") for number in invoices),
        "cancellations": sum(number.startswith("C") for number in invoices),
        "rows_accepted": len(rows),
        "rows_rejected": len(rejected),
        "gross_revenue": gross,
        "refunds": refunds,
        "net_revenue": gross + refunds,
        "revenue_by_country": dict(by_country),
        "revenue_by_month": dict(by_month),
        "top_products": sorted(by_product.items(), key=lambda item: (-item[1], item[0]))[:10],
        "stock_movements": dict(moved),
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
