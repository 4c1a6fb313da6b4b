"""Personal data and secrets that patterns can tell: found, validated, and replaced by typed placeholders.

Each kind of `ft_assets.data.config.PersonalKind` has a detector: a cheap pattern that polars runs over the whole
column, and a finder in Python that validates (checksums, number plans, entropy) and sees only the rows that the
pattern has let through. Names and postal addresses, which no pattern can tell, need a model (`names`, which is imported
by itself). Not here: masking for display (`ft_assets.data.masking`), which hides this and more than it can prove.
"""

from ft_assets.data.personal.replacing import free_of, pseudonyms, replace, replace_in, spans

__all__ = ["free_of", "pseudonyms", "replace", "replace_in", "spans"]
