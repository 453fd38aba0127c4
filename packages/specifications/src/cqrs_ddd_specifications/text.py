"""How text is matched: the reference for every database."""

import re
from functools import lru_cache

from cqrs_ddd_specifications.errors import OperandError


@lru_cache(maxsize=512)
def like_pattern(pattern: str) -> re.Pattern[str]:
    r"""Return the regular expression of a LIKE pattern: ``%`` any text, ``_`` one character.

    A backslash takes the meaning from the character behind it.
    """
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        elif character == "%":
            parts.append(".*")
        else:
            parts.append("." if character == "_" else re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


def escaped_like(text: str) -> str:
    r"""Return ``text`` as a LIKE pattern that matches just this text, escaped by a backslash."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def is_like(text: str, pattern: str, *, ignore_case: bool = False) -> bool:
    """Whether ``text`` as a whole fits a LIKE pattern."""
    subject = text.lower() if ignore_case else text
    wanted = pattern.lower() if ignore_case else pattern
    return like_pattern(wanted).fullmatch(subject) is not None


def words_of(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, in order."""
    return re.findall(r"\w+", text.lower())


def has_words(text: str, wanted: str) -> bool:
    """Whether all words of ``wanted`` are among the words of ``text``; false for no words."""
    words = words_of(wanted)
    return bool(words) and set(words) <= set(words_of(text))


def has_phrase(text: str, wanted: str) -> bool:
    """Whether the words of ``wanted`` follow one another in ``text``; false for no words."""
    words, phrase = words_of(text), words_of(wanted)
    starts = range(len(words) - len(phrase) + 1)
    return bool(phrase) and any(words[start : start + len(phrase)] == phrase for start in starts)


def regular_expression(attr: str, operator: str, pattern: str) -> re.Pattern[str]:
    """Return ``pattern`` compiled; without regard to case for ``iregex``.

    Raises:
        OperandError: it is no regular expression.
    """
    try:
        return re.compile(pattern, re.IGNORECASE if operator == "iregex" else 0)
    except (re.error, OverflowError, RecursionError) as error:
        problem = f"{pattern!r} is no regular expression: {error}"
        raise OperandError(attr, operator, problem) from error
