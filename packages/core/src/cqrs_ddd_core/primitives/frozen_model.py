"""Frozen pydantic models that a type checker knows to be frozen, and so to be hashable."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from typing_extensions import dataclass_transform

from cqrs_ddd_core.primitives.aware_fields import AwareFields

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass

    # A subclass of a frozen model says nothing of it, so type checkers take it for changeable.
    @dataclass_transform(
        kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr)
    )
    class _FrozenModelType(ModelMetaclass): ...

else:
    _FrozenModelType = type(BaseModel)


class FrozenModel(AwareFields, BaseModel, metaclass=_FrozenModelType):
    """A pydantic model that never changes once it is made; JSON keeps its infinities."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")
