"""Builds the embedded facts from CLDR, as Babel carries it, and from small tables of public facts.

The pipeline, one file each: `tables` and `babel_data` give facts without words (`triples`); `labels` names
their entities in every language; `filters` drops what would be ambiguous, mis-spelled or given away;
`options` draws the wrong answers; `build` writes the file, and `lexicon` the names that the concept lexicon
has beside it.
"""

from interp.data.sources.cldr_build.build import build_cldr, built_facts
from interp.data.sources.cldr_build.lexicon import build_lexicon, built_lexicon

__all__ = ["build_cldr", "build_lexicon", "built_facts", "built_lexicon"]
