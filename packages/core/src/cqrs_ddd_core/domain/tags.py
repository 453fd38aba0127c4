"""Tags: what an event is about, beside the stream that it is in."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from cqrs_ddd_core.domain.event import dataclass_fields
from cqrs_ddd_core.primitives.errors import CQRSDDDError

MAX_TAG_LENGTH = 255


class TagError(CQRSDDDError, ValueError):
    """Something is no tag: it is empty, longer than 255 characters, or no text.

    Attributes:
        tag: what was given.
    """

    def __init__(self, tag: object, advice: str) -> None:
        self.tag = tag
        super().__init__(f"{tag!r} is no tag. {advice}")


@dataclass(frozen=True, slots=True)
class Tag:
    """Says that a field of an event tags it, and makes the same tags for queries.

    A field that holds several values gives a tag for each; one that holds None gives none.

    Args:
        name: what the value is the id of, such as ``course``.

    Example:
        >>> from cqrs_ddd_core.domain import DomainEvent
        >>> COURSE, STUDENT = Tag("course"), Tag("student")
        >>> class StudentSubscribed(DomainEvent):
        ...     course_id: Annotated[str, COURSE]
        ...     student_id: Annotated[str, STUDENT]
        >>> tags_of(StudentSubscribed(course_id="c-1", student_id="s-1"))
        ('course:c-1', 'student:s-1')
        >>> COURSE("c-1")
        'course:c-1'
    """

    name: str

    def __call__(self, value: object) -> str:
        """Return the tag of ``value``."""
        return f"{self.name}:{value}"


def tags_of(event: object) -> tuple[str, ...]:
    """Return the tags that the annotated fields of ``event`` give it, each once.

    Raises:
        TagError: a value makes no tag that could be stored.
    """
    fields = _tagged_fields(cast("type[Any]", type(event)))
    if not fields:
        return ()
    found = [tag(value) for name, tag in fields for value in _values(getattr(event, name))]
    return checked_tags(found)


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return ``tags``, each once and in order.

    Raises:
        TagError: one of them is none.
    """
    if isinstance(tags, str):
        raise TagError(tags, "Give a list of tags, also where there is one.")
    found = tuple(dict.fromkeys(tags))
    for tag in found:
        if not isinstance(tag, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TagError(tag, "Give a text such as 'course:c-1'.")
        if not 0 < len(tag) <= MAX_TAG_LENGTH or "\0" in tag:
            raise TagError(tag, f"Give a text of 1 to {MAX_TAG_LENGTH} characters, none of them 0.")
    return found


def _values(value: Any) -> Collection[object]:
    if value is None:
        return ()
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        return cast("Collection[object]", value)
    return (cast("object", value),)


@lru_cache(maxsize=4096)
def _tagged_fields(event_class: type) -> tuple[tuple[str, Tag], ...]:
    """Return the fields that tag, from the annotations of a model, a dataclass or any class."""
    fields: Mapping[str, Any] = getattr(event_class, "model_fields", {})
    if fields:
        return tuple(
            (name, tag) for name, field in fields.items() for tag in _tags_in(field.metadata)
        )
    if not dataclass_fields(event_class):
        return ()
    hints = get_type_hints(event_class, include_extras=True)
    return tuple(
        (name, tag)
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
        for tag in _tags_in(get_args(hint)[1:])
    )


def _tags_in(metadata: Iterable[object]) -> list[Tag]:
    return [found for found in metadata if isinstance(found, Tag)]
