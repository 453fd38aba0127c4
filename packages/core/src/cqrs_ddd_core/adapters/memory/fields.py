"""Which fields an aggregate's class has, so that a search refuses others on an empty store too."""

from typing import Any

from cqrs_ddd_core.domain.event import dataclass_fields
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.primitives.query_errors import FieldNotFoundError


def require_searchable(aggregate_type: type, options: QueryOptions) -> None:
    """Refuse a search that presents what aggregates of this type do not have.

    Raises:
        FieldNotFoundError: the first such field.
    """
    if options.group_by:
        known = [*options.group_by, *(figure.key for figure in options.aggregations)]
        for ordering in options.order_by:
            if ordering.field not in known:
                raise FieldNotFoundError(ordering.field, known)
        require_fields(aggregate_type, options.group_by)
        require_figures(aggregate_type, options)
    else:
        require_fields(aggregate_type, (ordering.field for ordering in options.order_by))
        require_fields(aggregate_type, options.select_fields)


def require_figures(aggregate_type: type, options: QueryOptions) -> None:
    """Refuse figures of fields that aggregates of this type do not have."""
    require_fields(aggregate_type, (figure.field for figure in options.aggregations))


def require_fields(aggregate_type: type, paths: Any) -> None:
    """Refuse paths that begin with no field of the class; one without declared fields may be any.

    Raises:
        FieldNotFoundError: the first such path.
    """
    model_fields: Any = getattr(aggregate_type, "model_fields", {})
    known = [*model_fields, *dataclass_fields(aggregate_type)]
    for path in paths if known else ():
        name = path.split(".")[0]
        if name not in known and not hasattr(aggregate_type, name):
            raise FieldNotFoundError(path, known)
