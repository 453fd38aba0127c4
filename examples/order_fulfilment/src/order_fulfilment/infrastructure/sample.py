"""Makes up a file in the "Online Retail" format: always the same, as untidy as the real ones."""

import csv
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from order_fulfilment.infrastructure.retail_row import COLUMNS

_COUNTRIES = ["United Kingdom"] * 12 + ["Germany", "France", "EIRE", "Norway"]
_GOODS = ["LANTERN", "TEACUP", "LUNCH BAG", "DOORMAT", "CAKE STAND", "ALARM CLOCK", "BUNTING"]
_LOOKS = ["WHITE METAL", "RED RETROSPOT", "VINTAGE", "PINK POLKADOT", "IVORY KNITTED", "BLUE"]
_START = datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001 - the format has no zones
_NONSENSE = [
    ("A563185", "B", "Adjust bad debt", "1", "-11062.06", "", "United Kingdom"),
    ("563186", "22139", "", "-10", "0.0", "", "United Kingdom"),
    ("563187", "22140", "?", "a few", "0.85", "", "United Kingdom"),
]
_CANCELLATION, _UNKNOWN_CUSTOMER, _NONSENSE_ROW = 0.1, 0.2, 0.05

Fields = tuple[object, ...]


def write_sample(path: Path, *, invoices: int = 240, seed: int = 2010) -> None:
    """Write a few thousand lines to ``path``."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(random.Random(seed), invoices))  # noqa: S311 - no secrets here


def _rows(chance: random.Random, invoices: int) -> Iterator[Fields]:
    catalogue = [
        (f"{20000 + i}", f"{look} {thing}", f"{chance.randint(12, 1995) / 100}")
        for i, (look, thing) in enumerate((look, thing) for look in _LOOKS for thing in _GOODS)
    ]
    at = _START
    sold: list[Fields] = []
    for number in range(536365, 536365 + invoices):
        at += timedelta(minutes=chance.randint(1, 600))
        if sold and chance.random() < _CANCELLATION:
            yield _returned(f"C{number}", at, chance.choice(sold))
            continue
        customer = f"{12346 + chance.randrange(2 + invoices // 4)}.0"
        if chance.random() < _UNKNOWN_CUSTOMER:
            customer = ""
        country = chance.choice(_COUNTRIES)
        lines = [
            (number, code, name, chance.choice([1, 2, 6, 12]), at, price, customer, country)
            for code, name, price in chance.choices(catalogue, k=chance.randint(1, 30))
        ]
        yield from lines
        sold += lines
        if chance.random() < _NONSENSE_ROW:
            invoice, code, name, quantity, price, *party = chance.choice(_NONSENSE)
            yield (invoice, code, name, quantity, at, price, *party)


def _returned(number: str, at: datetime, line: Fields) -> Fields:
    _, code, name, quantity, _, price, *party = line
    return (number, code, name, f"-{quantity}", at, price, *party)
