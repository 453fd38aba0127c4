"""How results look, to people and to programs."""

import json
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from cqrs_ddd_advanced_core.sagas import SagaInstance, SagaStatus
from order_fulfilment.application import SalesReport
from order_fulfilment.web_shop import SimulatedProvider

_REFUSAL = re.compile(r"(\w+)Error: ")
_CENT = Decimal("0.01")


def money(amount: Decimal) -> str:
    """Return ``amount`` exactly, with two decimal places or as many as it needs.

    Example:
        >>> money(Decimal("15.3")), money(Decimal("0.0010"))
        ('15.30', '0.001')
    """
    plain = amount.normalize()
    exact = plain if plain == plain.quantize(_CENT) else None
    return format(plain if exact is None else plain.quantize(_CENT), "f")


def as_json(report: SalesReport) -> str:
    """Return the report as JSON; money as decimal strings."""
    return json.dumps(report.model_dump(), indent=2, default=money)


def show_report(console: Console, report: SalesReport) -> None:
    """Print the report as tables."""
    console.print(
        _table(
            "Sales",
            [
                ("orders", str(report.orders)),
                ("cancellations", str(report.cancellations)),
                ("rows accepted", str(report.rows_accepted)),
                ("rows rejected", str(report.rows_rejected)),
                ("gross revenue", money(report.gross_revenue)),
                ("refunds", money(report.refunds)),
                ("net revenue", money(report.net_revenue)),
            ],
        )
    )
    for title, figures in (
        ("Net revenue by country", report.revenue_by_country),
        ("Net revenue by month", report.revenue_by_month),
    ):
        console.print(_table(title, [(key, money(value)) for key, value in figures.items()]))
    top = [(f"{p.stock_code} {p.description}", money(p.net_revenue)) for p in report.top_products]
    console.print(_table("Top products by net revenue", top))
    moved = sorted(report.stock_movements.items(), key=lambda item: (-item[1], item[0]))
    console.print(
        _table("Units out of stock, returns taken off", [(c, str(n)) for c, n in moved[:10]])
    )
    if len(moved) > 10:  # noqa: PLR2004
        console.print(f"and {len(moved) - 10} more products; report --json has them all")


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table("", "", title=title, show_header=False, min_width=40)
    table.columns[1].justify = "right"
    for name, figure in rows:
        table.add_row(Text(name), figure)
    return table


class _Rate(ProgressColumn):
    """So many a second."""

    def render(self, task: Task) -> Text:
        """Return the rate; nothing while it is not known."""
        return Text(f"{task.speed:,.0f} {task.fields['unit']}/s" if task.speed else "")


@contextmanager
def progress_bar(
    console: Console, name: str, total: int, unit: str
) -> Generator[Callable[[int], None]]:
    """Show how far something has come, with rate and time left; nothing off a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total, unit=unit)
        yield lambda done: progress.update(task, completed=done)


def show_purchases(
    console: Console, sagas: Sequence[SagaInstance], provider: SimulatedProvider
) -> None:
    """Print what has become of purchases, and what the payment provider did meanwhile."""
    table = Table("what became of it", "purchases", title="Purchases", box=SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for outcome, number in Counter(map(_outcome, sagas)).most_common():
        table.add_row(outcome, str(number))
    console.print(table)
    console.print(
        f"{len(provider.charges)} cards charged, {len(provider.refunds)} of them refunded; "
        f"the provider holds {provider.balance}.",
        highlight=False,
    )


def _outcome(saga: SagaInstance) -> str:
    if saga.status is SagaStatus.COMPLETED:
        return "shipped and confirmed"
    refusal = _REFUSAL.search(saga.error or "")
    return f"{saga.status.value}: {refusal[1] if refusal else saga.error}"
