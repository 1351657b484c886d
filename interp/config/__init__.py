"""One dataclass per command <-> TOML <-> flags, strict: a field is a flag of the command and a key of its TOML file."""

from interp.config.ablation import AblationConfig
from interp.config.base import field_types, load_config, option, read_toml, to_plain
from interp.config.evaluation import EvaluationConfig
from interp.config.routing import RoutingConfig
from interp.config.specialization import SpecializationConfig

__all__ = [
    "AblationConfig",
    "EvaluationConfig",
    "RoutingConfig",
    "SpecializationConfig",
    "field_types",
    "load_config",
    "option",
    "read_toml",
    "to_plain",
]
