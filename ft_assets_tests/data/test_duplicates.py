import random
import shutil
from itertools import cycle, pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.all_pairs import all_pairs, similarity
from benchmarks.planted_pairs import EDITS, SORTS, Writer
from ft_assets.data.duplicates import search
from ft_assets.data.duplicates.corpus import Corpus
from ft_assets.data.duplicates.minhash import FUNCTIONS, RECALL, band_hashes, chance, rows_of_band
from ft_assets.data.duplicates.passages import shares_passage
from ft_assets.data.duplicates.search import components, near_duplicates
from ft_assets.data.duplicates.sets import Sets
from ft_assets.data.duplicates.shingles import Shingles, by_words, shingles, slices
from ft_assets.data.remembered import Memory


@pytest.fixture(scope="module")
def texts():
    """Pairs of all sorts and edits, and texts without a partner; each once."""
    draw = random.Random(1)
    writer = Writer(draw)
    ways = cycle([(sort, edit) for sort in SORTS for edit in EDITS])
    pairs = [writer.pair(*next(ways), draw.uniform(0, 0.1)) for _ in range(300)]
    made = [text for pair in pairs for text in (pair.first, pair.second)]
    return list(dict.fromkeys([*made, *(writer.text(sort) for sort in SORTS for _ in range(60))]))


def ids_of(texts):
    return pl.Series([f"{place:016x}" for place in range(len(texts))])


def corpus_of(texts, cuts=()):
    """The texts as rows of a table, in parts that end at these places."""
    bounds = [0, *cuts, len(texts)]
    parts = [pa.array(list(texts[start:stop]), pa.string()) for start, stop in pairwise(bounds)]
    nothing = pa.nulls(len(texts), pa.string())
    return Corpus(pa.table({"context": nothing, "text": pa.chunked_array(parts, pa.string())}))


def pairs_of(texts, threshold=0.7, *, ids=None, cuts=(), directory, memory=None):
    """(place, place) → similarity."""
    ids = ids_of(texts) if ids is None else ids
    found = near_duplicates(ids, corpus_of(texts, cuts), threshold, directory, memory=memory)
    place = {each: number for number, each in enumerate(ids)}
    return {(place[a], place[b]): value for a, b, value in found.iter_rows()}


# --- Shingles


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_sets_of_hashes_are_as_alike_as_the_sets_of_strings(texts, kind):
    chosen = [text for text in texts if by_words(pl.Series([text]))[0] == (kind == "words")][:60]
    sets = shingles(pl.Series(chosen), kind)
    hashes = [set(part.tolist()) for part in np.split(sets.values, sets.offsets[1:-1])]
    for first, a in zip(chosen, hashes, strict=True):
        for second, b in zip(chosen, hashes, strict=True):
            assert len(a & b) / len(a | b) == similarity(first, second)


def test_a_set_does_not_depend_on_the_texts_around_it(texts):
    alone = shingles(pl.Series(texts[:1]), "characters")
    among = shingles(pl.Series(["", "é", texts[0], "x y"]), "characters")
    assert among.values[among.offsets[2] : among.offsets[3]].tolist() == alone.values.tolist()


@pytest.mark.parametrize(("text", "size"), [("", 0), ("a", 1), ("日本語", 1), ("abcd", 1), ("abcde", 2)])
def test_a_text_of_less_than_a_shingle_is_one(text, size):
    assert shingles(pl.Series([text]), "characters").offsets.tolist() == [0, size]


def test_slices_hold_all_texts_in_their_order_and_one_of_any_size():
    given = pl.Series(["x" * (3 << 20), *map(str, range(10_000)), "y" * (3 << 20)])
    parts = list(slices(given))
    assert pl.concat(parts).equals(given)
    assert max(map(len, parts)) == 4_096


# --- Signatures


def test_bands_are_as_wide_as_the_recall_at_the_threshold_allows():
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        rows = rows_of_band(threshold)
        assert chance(threshold, rows) >= RECALL
        assert all(chance(threshold, more) < RECALL for more in range(rows + 1, FUNCTIONS + 1))


def test_a_band_agrees_as_often_as_the_similarity_says():
    # 100 pairs with 60 of 100 shingles in common, 200 bands of one row: the share that agrees is 0.6, with a standard
    # deviation of sqrt(0.24 / 20,000) = 0.0035 if all were independent. Four of them, and 0.006 for the pairs' own.
    draw = np.random.default_rng(3)
    values = [np.sort(draw.integers(0, 1 << 52, 100, np.uint64)) for _ in range(100)]
    agreeing = []
    for each in values:
        one = np.sort(draw.permutation(each)[:80])
        other = np.sort(np.concatenate([np.setdiff1d(each, one), one[:60]]))
        sets = sets_of(one, other)
        bands = band_hashes(sets, 1)
        agreeing.append((bands[:, 0] == bands[:, 1]).mean())
    assert np.mean(agreeing) == pytest.approx(0.6, abs=0.02)


def sets_of(*values):
    return Shingles(np.concatenate(values), np.cumsum([0, *map(len, values)]))


# --- Pairs


def test_all_pairs_are_found_that_comparing_everything_finds(texts, tmp_path):
    expected = all_pairs(texts, 0.7)
    found = pairs_of(texts, directory=tmp_path)
    assert len(expected) > 150
    # At the threshold itself one pair in 1,500 may be missed; of these some 200 none is. None is made up.
    assert found == expected


def test_what_is_looked_for_across_parts_are_all_pairs_of_two_parts(texts, tmp_path):
    part = np.arange(len(texts)) % 3
    ids = ids_of(texts)
    found = near_duplicates(ids, corpus_of(texts), 0.7, tmp_path, across=part)
    across = {
        (a, b)
        for a, b in found.select("example_id_a", "example_id_b").iter_rows()
        if part[int(a, 16)] != part[int(b, 16)]
    }
    expected = {(a, b) for a, b in all_pairs(texts, 0.7) if part[a] != part[b]}
    assert len(expected) > 100
    assert across == {(ids[a], ids[b]) for a, b in expected}


def test_comparing_everything_misses_nothing_that_brute_force_finds(texts):
    some = texts[::7]
    brute = {
        (a, b): similarity(some[a], some[b])
        for b in range(len(some))
        for a in range(b)
        if similarity(some[a], some[b]) >= 0.3
    }
    assert all_pairs(some, 0.3) == brute


@given(data=st.data())
def test_neither_the_order_of_rows_nor_their_slices_matter(data, texts, tmp_path_factory):
    page = texts[0]  # more rows of it than a bucket may have: there, not all pairs are compared
    some = [*texts[:60], *(f"{page} {place}" for place in range(search.BUCKET + 8))]
    directory = tmp_path_factory.mktemp("files")
    order = data.draw(st.permutations(range(len(some))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(some)), max_size=4)))
    ids = ids_of(some)
    plain = near_duplicates(ids, corpus_of(some), 0.7, directory)
    moved = corpus_of([some[place] for place in order], cuts)
    assert near_duplicates(ids.gather(order), moved, 0.7, directory).equals(plain)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Great product", "great products"),
        ("ok thanks", "OK  thanks"),
        (
            "这个产品非常好,我很喜欢它的颜色和质量,下次还会再买",
            "这个产品非常好,我很喜欢它的颜色和质量,下次还会买",
        ),
        ("商品はとても良いです。また買いたいと思います。", "商品はとても良いです。また買いたいと思います!"),
        ("สินค้าดีมากส่งเร็วแนะนำเลยครับ", "สินค้าดีมากส่งเร็วแนะนำเลยค่ะ"),
    ],
)
def test_short_texts_and_scripts_without_spaces_have_near_duplicates(first, second, tmp_path):
    assert list(pairs_of([first, second, "something else entirely"], directory=tmp_path)) == [(0, 1)]


@pytest.mark.parametrize(
    ("first", "second"),
    [("good", "not good"), ("great", "bad"), ("very good product", "very bad product"), ("a", "b"), ("", "")],
)
def test_short_texts_that_say_something_else_are_none(first, second, tmp_path):
    assert pairs_of([first, second], directory=tmp_path) == {}


def test_a_text_just_below_the_limit_finds_its_neighbour_above(tmp_path):
    words = Writer(random.Random(2)).text("long").split()[:34]
    below, above = " ".join(words[:31]), " ".join(words)
    assert by_words(pl.Series([below, above])).to_list() == [False, True]
    assert list(pairs_of([below, above], directory=tmp_path)) == [(0, 1)]


def test_a_pair_at_the_threshold_is_one_and_below_it_is_none(tmp_path):
    # 7 of 10 shingles of four characters.
    first, second = "abcdefghijk", "abcdefghijxyz"[:12]
    value = similarity(first, second)
    assert list(pairs_of([first, second], value, directory=tmp_path)) == [(0, 1)]
    assert pairs_of([first, second], value + 1e-9, directory=tmp_path) == {}


def test_texts_of_one_set_are_pairs_of_the_first_of_them(tmp_path):
    # The same shingles, repeated: different texts, one set.
    texts = [" ".join(["buy it now or"] * count) for count in (4, 5, 6)]
    assert pairs_of(texts, directory=tmp_path) == {(0, 1): 1.0, (0, 2): 1.0}


def test_boilerplate_costs_its_rows_and_not_their_square(tmp_path, monkeypatch):
    writer = Writer(random.Random(4))
    page = writer.text("long").split()
    texts = [" ".join([*page, str(place)]) for place in range(3_000)]
    compared = []
    jaccard = Sets._jaccard
    monkeypatch.setattr(
        Sets, "_jaccard", lambda self, a, *rest: compared.append(len(a)) or jaccard(self, a, *rest)
    )
    found = pairs_of(texts, directory=tmp_path)
    a, b = np.array(list(found)).T
    assert set(components(len(texts), a, b)) == {0}
    # Every pair would be 4.5 million. One leader joins them all in the first band where they meet.
    assert sum(compared) < 10 * len(texts)


def test_nothing_is_left_in_the_directory(texts, tmp_path):
    pairs_of(texts[:50], directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_texts_are_no_error(tmp_path):
    assert pairs_of([], directory=tmp_path) == {}
    assert pairs_of(["", ""], directory=tmp_path) == {}


def test_ids_and_texts_that_do_not_go_together_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="2 ids and 1 texts"):
        near_duplicates(pl.Series(["a", "b"]), corpus_of(["x"]), 0.7, tmp_path)


# --- What is remembered


@pytest.fixture
def compared(monkeypatch):
    """Receives how many texts each call signs, and how many pairs each call compares."""
    counts = {"signed": 0, "pairs": 0}
    add, jaccard = Sets.add, Sets._jaccard

    def counted(self, rows, *rest):
        counts["signed"] += len(rows)
        add(self, rows, *rest)

    def counted_pairs(self, a, *rest):
        counts["pairs"] += len(a)
        return jaccard(self, a, *rest)

    monkeypatch.setattr(Sets, "add", counted)
    monkeypatch.setattr(Sets, "_jaccard", counted_pairs)
    return counts


def test_what_is_known_of_texts_is_not_computed_again(texts, tmp_path, compared):
    memory = Memory(tmp_path / "memory", "code")
    plain = pairs_of(texts, directory=tmp_path)
    assert pairs_of(texts, directory=tmp_path, memory=memory) == plain
    compared |= {"signed": 0, "pairs": 0}
    assert pairs_of(texts, directory=tmp_path, memory=memory) == plain
    assert compared == {"signed": 0, "pairs": 0}
    more = [*texts, f"{texts[0]} indeed"]
    found = pairs_of(more, directory=tmp_path, memory=memory)
    assert found == pairs_of(more, directory=tmp_path) and found != plain
    assert len(list((tmp_path / "memory" / "words").iterdir())) == 1


def test_only_what_is_new_is_signed_and_compared(texts, tmp_path, compared):
    memory = Memory(tmp_path / "memory", "code")
    pairs_of(texts, directory=tmp_path, memory=memory)
    compared |= {"signed": 0, "pairs": 0}
    pairs_of([*texts[40:], f"{texts[0]} indeed"], directory=tmp_path, memory=memory)
    # One text has a set of words, a set of characters, or both; some pairs are compared in several bands.
    assert 1 <= compared["signed"] <= 2 and compared["pairs"] <= 40 * 2


def test_other_code_or_another_threshold_signs_anew(texts, tmp_path, compared):
    some = texts[:40]
    pairs_of(some, directory=tmp_path, memory=Memory(tmp_path / "memory", "code"))
    for code, threshold in (("other code", 0.7), ("code", 0.8)):
        compared |= {"signed": 0}
        memory = Memory(tmp_path / "memory", code)
        assert pairs_of(some, threshold, directory=tmp_path, memory=memory) == pairs_of(
            some, threshold, directory=tmp_path
        )
        assert compared["signed"] >= 2 * len(some)


@pytest.mark.parametrize("lost", ["words", "characters", "words of pairs", "characters of pairs"])
def test_a_part_of_what_is_remembered_may_be_lost(texts, tmp_path, lost):
    memory = Memory(tmp_path / "memory", "code")
    plain = pairs_of(texts, directory=tmp_path, memory=memory)
    shutil.rmtree(memory.folder / lost)
    assert pairs_of(texts, directory=tmp_path, memory=memory) == plain
    assert pairs_of(texts[1:], directory=tmp_path, memory=memory) == pairs_of(texts[1:], directory=tmp_path)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_with_what_is_remembered_the_pairs_are_those_of_all_texts(data, texts, tmp_path_factory):
    page = texts[0]  # more rows of it than a bucket may have: leaders change as rows come
    some = [*texts[:40], *(f"{page} {place}" for place in range(search.BUCKET + 8)), "", "日本語"]
    directory = tmp_path_factory.mktemp("files")
    memory = Memory(directory / "memory", "code")
    for _ in range(3):
        now = data.draw(st.lists(st.sampled_from(some), unique=True))
        ids = pl.Series([f"{some.index(text):016x}" for text in now], dtype=pl.String)
        plain = near_duplicates(ids, corpus_of(now), 0.7, directory)
        assert near_duplicates(ids, corpus_of(now), 0.7, directory, memory=memory).equals(plain)


# --- Passages


def shared(texts, *others):
    parts = [pl.Series(each, dtype=pl.String) for each in (texts, *others)]
    return shares_passage(parts[0], parts[1:]).tolist()


WORDS = [f"word{number}" for number in range(40)]


def test_thirteen_words_in_a_row_are_a_passage_and_twelve_are_none():
    other = " ".join(["so", "he", "said", *WORDS[:13], "and", "left"])
    texts = [" ".join(["then", *WORDS[:13]]), " ".join(["then", *WORDS[:12], "or"]), " ".join(WORDS[:13]), ""]
    assert shared(texts, ["nothing", other]) == [True, False, True, False]


def test_passages_are_looked_for_in_all_slices():
    assert shared([" ".join(WORDS[:20])], [], ["a"], [" ".join(WORDS[5:30])]) == [True]
    assert shared([" ".join(WORDS[:20])]) == [False]
    assert shared([], [" ".join(WORDS)]) == []


def test_as_many_rows_share_passages_as_comparing_sets_says(texts):
    there, elsewhere = texts[::2], texts[1::2]

    def passages(text):
        words = text.split(" ")
        return {tuple(words[place : place + 13]) for place in range(len(words) - 12)}

    known = {each for text in elsewhere for each in passages(text)}
    expected = [bool(passages(text) & known) for text in there]
    assert any(expected) and not all(expected)
    assert shared(there, elsewhere) == expected


# --- Components


def test_a_component_is_named_by_its_smallest_member():
    a, b = np.array([4, 2, 5]), np.array([1, 4, 3])
    assert components(7, a, b).tolist() == [0, 1, 1, 3, 1, 3, 6]
