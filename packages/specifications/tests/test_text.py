"""How text is matched: LIKE and its escapes, case, unicode, words and phrases."""

import pytest
from hypothesis import given

from cqrs_ddd_specifications import AttributeSpecification
from cqrs_ddd_specifications.testing import pools
from cqrs_ddd_specifications.text import escaped_like, is_like, words_of


def asked(operator: str, operand: str, value: str) -> bool | None:
    return AttributeSpecification("field", operator, operand).compiled({"field": value})


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("", "", True),
        ("", "a", False),
        ("%", "", True),
        ("%", "anything", True),
        ("_", "", False),
        ("_", "a", True),
        ("_", "ab", False),
        ("a%c", "abbc", True),
        ("a%c", "abbd", False),
        ("a_c", "a\nc", True),
        ("a%c", "a\n\nc", True),
        ("abc", "abc\n", False),
        ("50\\%", "50%", True),
        ("50\\%", "500", False),
        ("a\\_b", "a_b", True),
        ("a\\_b", "axb", False),
        ("a\\\\b", "a\\b", True),
        ("\\a", "a", True),
        ("a\\", "a\\", True),
        ("a.c", "abc", False),
        ("a.c", "a.c", True),
        ("[ab]", "a", False),
        ("(a|b)*", "(a|b)*", True),
        ("^a$", "a", False),
        ("_", "é", True),
        ("_", "😀", True),
        ("_", "e\u0301", False),
    ],
)
def test_like_knows_percent_underscore_and_backslash_and_nothing_else(
    pattern: str, text: str, matches: bool
) -> None:
    assert asked("like", pattern, text) is matches
    assert asked("not_like", pattern, text) is not matches


@pytest.mark.parametrize("operator", ["contains", "startswith", "endswith"])
@pytest.mark.parametrize(
    ("operand", "other"), [("%", "a"), ("_", "a"), ("5%0", "500"), ("a_b", "axb"), ("\\", "a")]
)
def test_contains_startswith_and_endswith_take_what_like_would_read_as_a_pattern_as_it_is(
    operator: str, operand: str, other: str
) -> None:
    for name in (operator, f"i{operator}"):
        assert asked(name, operand, operand) is True
        assert asked(name, operand, other) is False


@given(pools.texts(), pools.texts())
def test_contains_startswith_and_endswith_are_what_python_says(text: str, part: str) -> None:
    assert asked("contains", part, text) is (part in text)
    assert asked("startswith", part, text) is text.startswith(part)
    assert asked("endswith", part, text) is text.endswith(part)


@given(pools.texts(), pools.texts())
def test_an_escaped_text_is_like_itself_alone(text: str, other: str) -> None:
    assert is_like(text, escaped_like(text))
    assert is_like(other, escaped_like(text)) is (text == other)


@pytest.mark.parametrize(
    ("operator", "operand", "value"),
    [
        ("like", "A%", "abc"),
        ("contains", "B", "abc"),
        ("startswith", "A", "abc"),
        ("endswith", "C", "abc"),
        ("=", "ABC", "abc"),
        ("regex", "B", "abc"),
    ],
)
def test_case_matters(operator: str, operand: str, value: str) -> None:
    assert asked(operator, operand, value) is False


@pytest.mark.parametrize(
    ("operator", "operand", "value"),
    [
        ("ilike", "A_C%", "abcd"),
        ("ilike", "É", "é"),
        ("ilike", "10\\%", "10%"),
        ("icontains", "ЖУК", "майский жук"),
        ("istartswith", "CAF", "café"),
        ("iendswith", "FÉ", "café"),
        ("iregex", "B+C", "aBbc"),
    ],
)
def test_case_does_not_matter_to_the_operators_with_an_i(
    operator: str, operand: str, value: str
) -> None:
    assert asked(operator, operand, value) is True


@pytest.mark.parametrize(
    ("first", "second"), [("é", "e"), ("é", "e\u0301"), ("a", "a "), ("ß", "ss")]
)
def test_letters_that_merely_look_alike_differ(first: str, second: str) -> None:
    assert asked("=", first, second) is False
    assert asked("ilike", first, second) is False


def test_text_is_ordered_by_code_point() -> None:
    assert asked("<", "a", "Z") is True
    assert asked(">", "z", "é") is True
    assert asked(">", "\uffff", "😀") is True


def test_a_regular_expression_may_match_anywhere() -> None:
    assert asked("regex", "b", "abc") is True
    assert asked("regex", "^b", "abc") is False
    assert asked("regex", "", "abc") is True


@pytest.mark.parametrize(
    ("words", "text", "matches"),
    [
        ("alpha", "Alpha, bravo!", True),
        ("bravo alpha", "alpha - bravo", True),
        ("alph", "alpha", False),
        ("alpha bravo", "alpha", False),
        ("café", "CAFÉ au lait", True),
        ("", "alpha", False),
        ("!?", "alpha !?", False),
        ("alpha & bravo | :*", "alpha bravo", True),
    ],
)
def test_fts_wants_all_the_words_in_any_order(words: str, text: str, matches: bool) -> None:
    assert asked("fts", words, text) is matches


@pytest.mark.parametrize(
    ("phrase", "text", "matches"),
    [
        ("alpha bravo", "an Alpha, Bravo.", True),
        ("alpha bravo", "bravo alpha", False),
        ("alpha bravo", "alpha delta bravo", False),
        ("alpha alpha", "alpha", False),
        ("", "alpha", False),
    ],
)
def test_fts_phrase_wants_the_words_one_behind_the_other(
    phrase: str, text: str, matches: bool
) -> None:
    assert asked("fts_phrase", phrase, text) is matches


def test_words_are_letters_digits_and_underscores_in_lower_case() -> None:
    assert words_of("Größe: 42_cm, it's") == ["größe", "42_cm", "it", "s"]
