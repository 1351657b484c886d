"""Options of the commands: dataclasses <-> flags <-> TOML, strict; what commands share is declared once."""

from interp.config.base import (
    LARGEST_SEED,
    Bounds,
    Options,
    bounds_of,
    default_of,
    field_types,
    load_config,
    load_options,
    option,
    option_fields,
    read_toml,
    to_plain,
)
from interp.config.shared import (
    CheckpointOptions,
    DataOptions,
    FactOptions,
    NumericOptions,
    OutputOptions,
    QuestionOptions,
)

__all__ = [
    "LARGEST_SEED",
    "Bounds",
    "CheckpointOptions",
    "DataOptions",
    "FactOptions",
    "NumericOptions",
    "Options",
    "OutputOptions",
    "QuestionOptions",
    "bounds_of",
    "check_options",
    "default_of",
    "field_types",
    "load_config",
    "load_options",
    "option",
    "option_fields",
    "read_toml",
    "to_plain",
]
