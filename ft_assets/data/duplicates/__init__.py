"""Near duplicates: texts that are not equal, and still the same. `shingles` makes a set of a text, `minhash` a short
signature of a set, `search` finds all pairs that are similar enough. Nothing is imported here."""
