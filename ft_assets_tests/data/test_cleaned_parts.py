import json
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets.data import cleaned_parts, cleaning
from ft_assets.data.cleaned_parts import CleanedParts, parts
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig
from ft_assets.data.examples import RAW_SCHEMA, StageTables, digests, example_ids

CONFIG = CleaningConfig(min_chars=2)


def raw(texts: list[str]) -> pa.Table:
    """Rows with ids as the readers give them: no two texts are equal."""
    ids = example_ids(digests("s", [[text.encode()] for text in texts]), [0] * len(texts))
    rows = [
        {"example_id": each, "source": "s", "file": "f", "row": place, "text": text, "label": "a"}
        for place, (each, text) in enumerate(zip(ids, texts, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=RAW_SCHEMA)


def told(made: StageTables) -> tuple[object, ...]:
    return made.examples, made.quarantine, made.merged, json.dumps(made.summary)


TEXTS = [f"text {number} of jane{number}@example.org" for number in range(400)] + ["x"]


def counted(monkeypatch) -> list[int]:
    """Receives how many rows each call cleans."""
    sizes: list[int] = []
    inner = cleaning._clean
    monkeypatch.setattr(
        cleaning, "_clean", lambda rows, *given: (sizes.append(rows.num_rows), inner(rows, *given))[1]
    )
    return sizes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.lists(st.text("ab @.<>", max_size=6), unique=True, max_size=12), max_size=4))
def test_with_what_was_kept_the_result_is_that_of_cleaning_all(tmp_path, versions):
    for texts in versions:
        kept = CleanedParts(tmp_path, "rules")
        assert told(clean(raw(texts), CONFIG, kept=kept)) == told(clean(raw(texts), CONFIG))


def test_rows_added_anywhere_are_cleaned_with_their_neighbours_only(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cleaned_parts, "_LAST_DIGITS", 1)  # parts of 16 rows on average
    sizes = counted(monkeypatch)
    clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules"))
    assert sum(sizes) == len(TEXTS)
    for place in (0, 200, len(TEXTS)):
        sizes.clear()
        more = [*TEXTS[:place], "a new text", *TEXTS[place:]]
        # Only the part that the row stands in, or that it ends: 16 rows on average, and not ten times that.
        made = clean(raw(more), CONFIG, kept=CleanedParts(tmp_path, "rules"))
        assert 0 < sum(sizes) < 160
        assert told(made) == told(clean(raw(more), CONFIG))


def test_nothing_is_cleaned_again_and_the_refused_row_says_where_it_stands_now(
    tmp_path: Path, monkeypatch
) -> None:
    clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules"))
    sizes = counted(monkeypatch)
    table = raw(TEXTS)
    moved = table.set_column(table.schema.get_field_index("file"), "file", pa.array(["g"] * len(TEXTS)))
    made = clean(moved, CONFIG, kept=CleanedParts(tmp_path, "rules"))
    assert sizes == []
    assert [(row["rule"], row["file"], row["row"]) for row in made.quarantine.to_pylist()] == [
        ("too_short", "g", len(TEXTS) - 1)
    ]


def test_other_rules_clean_all_rows_and_the_old_parts_go(tmp_path: Path, monkeypatch) -> None:
    clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules"))
    old = {path.name for path in tmp_path.iterdir()}
    sizes = counted(monkeypatch)
    clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "other rules"))
    assert sum(sizes) == len(TEXTS)
    assert old.isdisjoint(path.name for path in tmp_path.iterdir())


def test_what_is_damaged_is_cleaned_again(tmp_path: Path) -> None:
    before = told(clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules")))
    for number, file in enumerate(sorted(tmp_path.rglob("*.*"))):
        file.write_bytes(file.read_bytes()[: number % 7])
    assert told(clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules"))) == before


def test_no_personal_data_is_kept(tmp_path: Path) -> None:
    clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules"))
    tables = [pa.ipc.open_file(path).read_all() for path in tmp_path.rglob("*.arrow")]
    texts = [text for table in tables for text in table["text"].to_pylist()]
    assert len(texts) == len(TEXTS)
    assert not [text for text in texts if "@" in text]


def test_the_parts_of_a_table_are_its_rows_in_order(monkeypatch) -> None:
    monkeypatch.setattr(cleaned_parts, "_LAST_DIGITS", 1)
    table = raw(TEXTS)
    assert pa.concat_tables(parts(table)).equals(table)
    assert len(list(parts(table))) > 5
    assert [part.num_rows for part in parts(table.slice(0, 0))] == [0]


def test_a_part_that_has_changed_on_the_disk_is_cleaned_again(tmp_path: Path, monkeypatch) -> None:
    sizes = counted(monkeypatch)
    expected = told(clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules")))
    for name in ("usable.arrow", "refused.arrow", "told.json", "sha256"):
        (file,) = tmp_path.glob(f"*/{name}")
        for place in range(0, file.stat().st_size, max(file.stat().st_size // 7, 1)):
            data = bytearray(file.read_bytes())
            data[place] ^= 0x84
            file.write_bytes(data)
            sizes.clear()
            assert told(clean(raw(TEXTS), CONFIG, kept=CleanedParts(tmp_path, "rules"))) == expected
            assert sum(sizes) == len(TEXTS), (name, place)
