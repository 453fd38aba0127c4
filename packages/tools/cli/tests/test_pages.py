"""The commands on the pages for operators run, and print what the pages show."""

import asyncio
import doctest
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from cqrs_ddd_cli.main import app
from cqrs_ddd_core.primitives.clock import use_clock
from cqrs_ddd_core.testing import ManualClock
from cqrs_ddd_messaging.memory import InMemoryConsumer, InMemoryMessageBus, InMemoryPublisher

from .conftest import MODULE, Shop, message

ROOT = Path(__file__).parents[4]
PAGES = [ROOT / "docs/operating.md", ROOT / "packages/tools/cli/README.md"]
BLOCK = re.compile(
    r"^(?P<no_run><!-- no-run -->\n+)?^```console\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Typed(NamedTuple):
    """A command on a page, and what the page says that it prints."""

    words: list[str]
    shown: str | None
    exit_code: int
    runs: bool


def typed_on(page: Path) -> Iterator[Typed]:
    """Return the commands of a page's console blocks; ``echo $?`` after one shows its code."""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        entries = re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]
        for number, entry in enumerate(entries):
            line, _, shown = entry.partition("\n")
            words = shlex.split(line, comments=True)
            if words[0] == "cqrs-ddd":
                following = entries[number + 1] if number + 1 < len(entries) else ""
                code = following.removeprefix("echo $?\n") if "echo $?" in following else "0"
                if ">" in words:  # sent to where nobody reads it
                    words, shown = words[: words.index(">")], None
                yield Typed(words[1:], shown, int(code), block["no_run"] is None)


async def park_two(bus: InMemoryMessageBus, consumer: InMemoryConsumer) -> None:
    """Have a consumer park two messages, as a handler without an account makes it."""
    bus.declare_queue("billing")
    ids = [("0190b6c4-7d3a-7c2e-9f41-2a6b8c9d0e01", "1"), ("0190b71f-08a1-7e43-b2d5-6c7d", "7")]
    await InMemoryPublisher(bus).publish(
        [message(each, "OrderPlaced", f"Order/{order}", timedelta()) for each, order in ids]
    )
    async with consumer.connect() as subscription:
        for delivery in await subscription.receive(2):
            delivery.attempt = 5
            await subscription.dead_letter(delivery, LookupError(f"no account for {delivery.key}"))


@pytest.fixture
def shop(memory_shop: Shop, module: ModuleType) -> Iterator[Shop]:
    """The application of the pages: two orders stand still, one message has nobody to take it."""

    clock, bus = ManualClock(), InMemoryMessageBus()
    consumer = vars(module)["billing"] = InMemoryConsumer(bus, "billing")

    async def make_trouble(opened: Any) -> None:
        outbox = opened.outbox
        old = [
            message(f"0190b6c4-7d3a-7c2e-9f41-2a6b8c9d0e{n:02}", event, key, timedelta(minutes=1))
            for n, (event, key) in enumerate(
                [
                    ("OrderPlaced", "Order/1"),
                    ("OrderShipped", "Order/1"),
                    ("OrderPlaced", "Order/2"),
                    ("OrderPlaced", "Order/3"),
                ],
                start=1,
            )
        ]
        await outbox.save_messages(old)
        await memory_shop.deliver(outbox, ["Order/1", "Order/2"])
        clock.advance(7500)
        new = message("0190b73a-51c0-7b11-8d2e-5f6a7b8c9d10", "OrderPlaced", "Order/4", timedelta())
        await outbox.save_messages([new])
        clock.advance(40)

    with use_clock(clock):
        asyncio.run(park_two(bus, consumer))
        memory_shop.do(make_trouble)
        yield memory_shop


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_print_what_it_shows(page: Path, shop: Shop) -> None:
    environment = {
        "CQRS_DDD_APP": f"{MODULE}:open_shop",
        "CQRS_DDD_CONSUMER": f"{MODULE}:billing",
        "COLUMNS": "80",
    }
    found = list(typed_on(page))
    assert found
    for typed in found:
        words = typed.words if typed.runs else [*typed.words[:2], "--help"]
        result = CliRunner().invoke(app, words, env=environment)
        said = f"{' '.join(typed.words)} prints\n{result.output}"
        assert result.exit_code == typed.exit_code, said
        if typed.runs and typed.shown is not None:
            shown = doctest.OutputChecker().check_output(typed.shown, result.output, ELLIPSIS)
            assert shown, said
