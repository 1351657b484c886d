"""Where prompts come from: the embedded facts, a file of facts, a benchmark, or a folder of text."""

from interp.data.sources.fact_file import load_facts
from interp.data.sources.opening import BENCHMARKS, EMBEDDED, open_facts, open_prompts

__all__ = ["BENCHMARKS", "EMBEDDED", "load_facts", "open_facts", "open_prompts"]
