"""Builds the embedded facts from CLDR, as Babel carries it, and from small tables of public facts.

The pipeline, one file each: `tables` and `babel_data` give facts without words (`triples`); `labels` names their entities
in every language; `filters` drops what would be ambiguous, mis-spelled or given away; `options` draws the wrong answers;
`build` writes the file.
"""

from interp.data.sources.cldr_build.build import build_cldr, built_facts

__all__ = ["build_cldr", "built_facts"]
