"""Benchmarks: each measures, prints a table and, as the last line, one JSON object with its bars."""
