"""Untidy CSV text in, records out."""

import pytest

from order_fulfilment.infrastructure.csv_records import MAX_LINES, CsvRecords


def records(text: str) -> list[tuple[int, list[str]]]:
    return [(number, fields) for number, _, fields in CsvRecords(text.splitlines(keepends=True))]


def test_blank_lines_are_no_records_but_count_as_lines() -> None:
    assert records("a,b\n\n  \n1,2\r\n") == [(1, ["a", "b"]), (4, ["1", "2"])]


def test_a_quoted_field_may_go_over_several_lines() -> None:
    found = list(CsvRecords(["a,b\n", '1,"two\n', 'lines"\n', "3,4\n"]))
    assert found[1].fields == ["1", "two\nlines"]
    assert found[1].text == '1,"two\nlines"'
    assert [record.number for record in found] == [1, 2, 4]


@pytest.mark.parametrize(
    "broken",
    ['1,"never closed', '1,"closed" by the next', '"', '1,"wrong ""number', 'x,"'],
)
def test_a_stray_quote_does_not_swallow_the_rows_behind_it(broken: str) -> None:
    text = f'a,b\n{broken}\n3,4\n5,"six"\n7,"eight\nnine"\n'
    assert records(text)[2:] == [(3, ["3", "4"]), (4, ["5", "six"]), (5, ["7", "eight\nnine"])]


def test_two_stray_quotes_do_not_swallow_the_rows_between_them() -> None:
    assert records('a,b\n1,"\n3,4\n5,"\n7,8\n') == [
        (1, ["a", "b"]),
        (2, ["1", "\n"]),
        (3, ["3", "4"]),
        (4, ["5", "\n"]),
        (5, ["7", "8"]),
    ]


def test_a_record_over_several_lines_is_one_also_when_it_has_too_many_fields() -> None:
    assert records('a,b\n1,"two\nlines",3\n')[1:] == [(2, ["1", "two\nlines", "3"])]


def test_many_stray_quotes_in_a_row_leave_the_last_good_row_alone() -> None:
    text = "a,b\n" + '1,"\n' * (MAX_LINES * 2 + 1) + "3,4\n"
    assert records(text)[-1] == (MAX_LINES * 2 + 3, ["3", "4"])


def test_inches_are_no_quotes() -> None:
    assert records('a,b\n1,6" PLATE\n2,"12"" PENCIL"\n') == [
        (1, ["a", "b"]),
        (2, ["1", '6" PLATE']),
        (3, ["2", '12" PENCIL']),
    ]


def test_a_field_longer_than_csv_allows_is_a_record_without_fields() -> None:
    assert records(f"a,b\n1,{'x' * 200_000}\n3,4\n") == [(1, ["a", "b"]), (2, []), (3, ["3", "4"])]
