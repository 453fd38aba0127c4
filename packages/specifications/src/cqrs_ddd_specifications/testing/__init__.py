"""For tests of adapters: random records and random specifications over them (needs hypothesis)."""

from cqrs_ddd_specifications.testing.conditions import SPECIMEN_FIELDS
from cqrs_ddd_specifications.testing.specimen import (
    Specimen,
    SpecimenAddress,
    SpecimenKind,
    specimens,
)
from cqrs_ddd_specifications.testing.trees import (
    full_text_specifications,
    geometry_specifications,
    specifications,
)

__all__ = [
    "SPECIMEN_FIELDS",
    "Specimen",
    "SpecimenAddress",
    "SpecimenKind",
    "full_text_specifications",
    "geometry_specifications",
    "specifications",
    "specimens",
]
