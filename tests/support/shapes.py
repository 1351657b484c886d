"""The checker of shapes and types while the tests run; imported before anything that it checks."""

from __future__ import annotations

import typing
from typing import Any

from beartype import BeartypeConf, FrozenDict, beartype

typecheck = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({typing.Self: Any})))
