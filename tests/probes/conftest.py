"""Shapes and types of the probes are checked while their tests run."""

from jaxtyping import install_import_hook

install_import_hook("probes", "tests.conftest.typecheck")
