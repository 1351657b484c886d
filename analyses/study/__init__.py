"""A study: checkpoints x seeds x measures, run cell by cell, resumed, and told in claims.

`file` reads what is asked, `cells` decides it, `running` does it, `record` says what is done, and `effects`
and `claims` say what that carries; the last three need no model and no torch.
"""
