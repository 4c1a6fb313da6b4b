import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.planted import KINDS, planted
from ft_assets.data.masking import mask
from ft_assets.data.personal import free_of, spans
from ft_assets_tests.data.helpers import answers, planted_tickets
from ft_assets_tests.data.test_personal import ALL, SALAD


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to max.muster+x@mail.example.org now", "write to <EMAIL> now"),
        ("see https://user:secret@example.com/a?b=1 there", "see <URL> there"),
        ("call +49 (0)30 123-456 78 or 030/1234567", "call <PHONE> or <PHONE>"),
        ("item 2125550143 or 48 213-994", "item <NUMBER> or <NUMBER>"),
        ("card 4111 1111 1111 1111", "card <CARD>"),
        ("refund DE89 3704 0044 0532 0130 00 please", "refund <IBAN> please"),
        ("at 192.0.2.77 from home", "at <IP> from home"),
        ("key sk-test-0a1b2c3d4e5f ok", "key <KEY> ok"),
        ("hash 5f4dcc3b5aa765d61d8327deb882cf99", "hash <KEY>"),
        ("password: hunter2 works", "<SECRET> works"),
        ("passwort: aB3dE5fG7", "<SECRET>"),
        ("pwd is Tr0ub4dor&3x", "<SECRET>"),
        ('{"password": "hunter2"}', '{"<SECRET>'),
        ('"api_key": "a8F3kQ9zL2mN7pR4"', '"<SECRET>'),
        (r"{\"client_secret\": \"hunter2\"}", r"{\"client_<SECRET>"),
        ("to de02120300000000202051 please", "to <IBAN> please"),
        ("jane&#64;example.org <b>x</b>", "<EMAIL> <b>x</b>"),
        ("Bearer abcDEF123456ghiJKL789 ok", "Bearer <KEY> ok"),
        ("SG.aaaabbbbccccdddd.ffffgggghhhhiiii", "<KEY>"),
        ("whsec_abcdEFGHijklMNOPqrst GOCSPX-abcdefghijklmnop", "<KEY> <KEY>"),
        ("AB123456C and ab 12 34 56 c", "<ID> and <ID>"),
        ("RSSMRA85T10A562S", "<ID>"),
        ("X1234567L", "<ID>"),
        ("2001:db8:85a3::8a2e and fe80::1ff:fe23:4567:890a", "<IP> and <IP>"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x", "<KEY> x"),
    ],
)
def test_private_things_become_typed_placeholders(text, shown):
    assert mask(text) == shown


@pytest.mark.parametrize(
    "text", ["order 12345", "version 1.2.3", "it cost 1,299.00", "on 3 May 2021", "a 4-5 star", "std::vector"]
)
def test_short_numbers_stay(text):
    assert mask(text) == text


def test_a_long_text_is_cut_and_says_so():
    assert mask("word " * 100, limit=20) == "word word word word…"


def test_a_thing_across_the_limit_is_masked_before_it_is_cut():
    assert "jane" not in mask("x" * 70 + " jane.doe@example.org", limit=80)


@pytest.mark.parametrize("kind", KINDS)
def test_of_planted_personal_data_nothing_is_shown(kind):
    draw = random.Random(f"{kind} of the tests")
    for _ in range(200):
        each = planted(draw, kind)
        start, end = each.secret
        longest = max(each.text[start:end].splitlines(), key=len)
        assert longest not in mask(each.text, limit=1_000), each


@given(st.one_of(SALAD, st.text(max_size=60)), st.integers(0, 200), st.integers(min_value=5, max_value=100))
def test_whatever_the_detectors_find_is_gone_and_nothing_is_found_in_what_is_shown(text, words, limit):
    shown = mask(text, limit=1_000)
    assert free_of(pl.Series([shown]), *ALL).to_list() == [True]
    found = [text[start:end] for start, end, _ in spans(pl.Series([text]), *ALL)[0]]
    # Within another word it may be none.
    assert not [value for value in found if text.count(value) == 1 and value in shown]
    # Far behind in a text, of which only a part is looked at.
    cut = mask("word " * words + text, limit)
    assert free_of(pl.Series([cut]), *ALL).to_list() == [True]


@pytest.mark.parametrize("far", range(0, 500, 7))
def test_what_is_cut_in_two_behind_the_part_that_is_looked_at_is_not_shown(far):
    # The part shrinks, so that its end would be shown.
    text = f"https://example.org/{'x' * far} {'y ' * 34}jane.doe@example.org " + "y " * 5_000
    assert "jane" not in mask(text, limit=80)


def test_control_characters_line_ends_and_direction_marks_do_not_get_through():
    assert mask("a\u202eb\x1b[31m\nc") == "a b [31m c"


@given(st.text(max_size=300), st.integers(min_value=5, max_value=100))
def test_the_result_is_one_printable_line_within_the_limit(text, limit):
    shown = mask(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()


def test_no_planted_personal_data_survives():
    planted = {(row["file"], row["row"]): row for row in answers()["rows"] if row["kind"] == "personal"}
    private = ["jane.doe", "555-0143", "4111", "3704", "192.0.2.77", "0a1b2c", "6789", "secret"]
    shown = [
        mask(row["text"], limit=1_000)
        for row in planted_tickets().examples.to_pylist()
        if (row["file"], row["row"]) in planted
    ]
    assert len(shown) == len(planted) == 8
    assert not [secret for secret in private for text in shown if secret in text]
