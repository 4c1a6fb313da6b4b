"""What is taken out of the data and the store: withdrawn files, artifacts that nothing needs, erased rows.

Plain Python: nothing here knows Dagster. The commands (`ft_assets.commands`) read from the instance what is
current and what is under way, and hand it over.
"""
