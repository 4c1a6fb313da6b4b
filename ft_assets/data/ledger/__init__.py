"""The split ledger of a task: which split each row is in, recorded once and for good.

`chain` keeps it on the disk, `entries` are what it says, `assignment` decides by them, `stratify` deals out what is
new, `keys` make the numbers that rows are known by; `golden` locks a test set, `archive` exports and restores.

Nothing is imported here: the sensor that follows changes looks at `chain` every ten seconds.
"""
