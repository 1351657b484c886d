"""Options of the commands: dataclasses <-> flags <-> TOML, strict; what commands share is declared once."""

from interp.config.base import (
    check_options,
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
    "CheckpointOptions",
    "DataOptions",
    "FactOptions",
    "NumericOptions",
    "OutputOptions",
    "QuestionOptions",
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
