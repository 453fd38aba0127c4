"""Files of the "Online Retail" format, as untidy as they come."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from order_fulfilment.infrastructure.retail_file import FileRefusedError, RetailFile

GOOD = "536365,71053,WHITE METAL LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom"
CsvFile = Callable[..., Path]


def reasons(path: Path) -> list[str]:
    return [row.reason for row in RetailFile(path).rows()]


def test_a_row_is_read_to_the_letter(csv_file: CsvFile) -> None:
    [row] = RetailFile(csv_file(GOOD)).rows()
    assert (row.number, row.text, row.invoice, row.cancels) == (2, GOOD, "536365", False)
    assert row.line is not None
    assert (row.customer_id, row.line.description) == (17850, "WHITE METAL LANTERN")
    assert row.line.content == (
        *("71053", 6, Decimal("3.39")),
        *(datetime(2010, 12, 1, 8, 26, tzinfo=UTC), "United Kingdom"),
    )


@pytest.mark.parametrize(
    "row",
    [
        "536370,POST,POSTAGE,3,2010-12-01 08:45:00,18.0,12583.0,France",
        "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527.0,United Kingdom",
        "c536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527,United Kingdom",
        "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom",
        "536414,22139,?,56,2010-12-01 11:52:00,0,,Unspecified",
        "536414.0,22139,damages,56.0,12/1/2010 11:52,.5,,EIRE".replace(",.5,", ",0.5,"),
        " 536365 , 71053 ,  LANTERN , 6 , 2010-12-01T08:26:00Z , 3.390000 ,  , France ",
        '536365,71053,"two\nlines, one field",6,2010-12-01,3.39,,France',
    ],
)
def test_a_row_that_makes_sense_is_taken(csv_file: CsvFile, row: str) -> None:
    assert reasons(csv_file(row, GOOD)) == ["", ""]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (GOOD.replace("536365", "A563185"), "InvoiceNo 'A563185' is neither an order"),
        (GOOD.replace("536365", ""), "InvoiceNo '' is neither an order"),
        (GOOD.replace("71053", " "), "StockCode is missing"),
        (GOOD.replace("71053", "7\0"), "StockCode is not readable"),
        (GOOD.replace(",6,", ",six,"), "Quantity 'six' is no whole number"),
        (GOOD.replace(",6,", ",6.5,"), "Quantity '6.5' is no whole number"),
        (GOOD.replace(",6,", ",,"), "Quantity '' is no whole number"),
        (GOOD.replace(",6,", ",٦,"), "Quantity '٦' is no whole number"),
        (GOOD.replace(",6,", ",9999999999,"), "at most nine digits"),
        (GOOD.replace("3.39", "NaN"), "UnitPrice 'NaN' is no amount"),
        (GOOD.replace("3.39", "1e3"), "UnitPrice '1e3' is no amount"),
        (GOOD.replace("3.39", "£3.39"), "UnitPrice '£3.39' is no amount"),
        (GOOD.replace("3.39", "3.3900001"), "at most six decimal places"),
        (GOOD.replace("2010-12-01 08:26:00", "yesterday"), "InvoiceDate 'yesterday' is no date"),
        (GOOD.replace("2010-12-01", "2010-02-30"), "is no date"),
        (GOOD.replace("2010-12-01 08:26:00", "31/12/2010 08:26"), "is no date"),
        (GOOD.replace("2010", "0010"), "is not of this age"),
        (GOOD.replace("17850.0", "ada"), "CustomerID 'ada' is no whole number"),
        (GOOD.replace("United Kingdom", ""), "Country is missing"),
        ("536365,71053", "the row has 2 fields, the header 8"),
        (f"{GOOD},more", "the row has 9 fields, the header 8"),
        ("total", "the row has 1 fields, the header 8"),
        (",,,,,,,", "InvoiceNo '' is neither"),
        ('536365,"71053,LANTERN,6', "the row has 2 fields, the header 8"),
        (f"536365,{'7' * 200_000},x,6,2010-12-01,1,,France", "the row has 0 fields"),
    ],
)
def test_a_row_that_makes_no_sense_is_told_with_its_reason_and_as_it_was(
    csv_file: CsvFile, row: str, reason: str
) -> None:
    first, second, third = RetailFile(csv_file(GOOD, row, GOOD)).rows()
    assert reason in second.reason
    assert (second.number, second.text, second.line) == (3, row, None)
    assert (first.reason, third.reason, third.number) == ("", "", 4)


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "\n\n#, Country ,CustomerID,UnitPrice,InvoiceDate,Quantity,Description,StockCode,"
        "InvoiceNo\n"
        "1,France,,1.5,2010-12-01 08:26,2,TEACUP,22139,536365\n"
    )
    [row] = RetailFile(path).rows()
    assert (row.number, row.invoice, row.reason) == (4, "536365", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_any_usual_encoding_is_read(csv_file: CsvFile, encoding: str) -> None:
    path = csv_file(GOOD.replace("LANTERN", "CAFÉ €50"), encoding=encoding)
    [row] = RetailFile(path).rows()
    assert row.line is not None
    assert row.line.description == "WHITE METAL CAFÉ €50"


def test_bytes_that_only_latin_1_knows_are_read(csv_file: CsvFile) -> None:
    [row] = RetailFile(csv_file(GOOD.replace("LANTERN", "CAF\xe9\x81"), encoding="latin-1")).rows()
    assert row.line is not None
    assert row.line.description == "WHITE METAL CAF\xe9\x81"


def test_the_same_content_is_the_same_file_whatever_its_name(csv_file: CsvFile) -> None:
    one, same = csv_file(GOOD, name="a.csv"), csv_file(GOOD, name="b.csv")
    other = csv_file(GOOD, GOOD, name="c.csv")
    assert RetailFile(one).id == RetailFile(same).id != RetailFile(other).id


def test_a_file_that_is_none_of_this_format_is_refused(tmp_path: Path, csv_file: CsvFile) -> None:
    cut = tmp_path / "cut.csv"
    cut.write_bytes(b"\xff\xfe\x00")
    for path, message in [
        (tmp_path / "missing.csv", "is no file"),
        (tmp_path, "is no file"),
        (cut, "is no text file"),
    ]:
        with pytest.raises(FileRefusedError, match=message):
            RetailFile(path)
    for text in (
        "",
        "\n\n",
        "InvoiceNo,StockCode,Quantity,UnitPrice,Country",
    ):
        cut.write_text(text)
        with pytest.raises(FileRefusedError, match=r"lacks the columns? .*CustomerID"):
            RetailFile(cut)
    assert reasons(csv_file()) == []
