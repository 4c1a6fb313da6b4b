import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.masking import mask
from ft_assets_tests.data.helpers import answers, planted_tickets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to max.muster+x@mail.example.org now", "write to <EMAIL> now"),
        ("see https://user:secret@example.com/a?b=1 there", "see <URL> there"),
        ("call +49 (0)30 123-456 78 or 030/1234567", "call <NUMBER> or <NUMBER>"),
        ("card 4111 1111 1111 1111", "card <NUMBER>"),
        ("refund DE89 3704 0044 0532 0130 00 please", "refund <IBAN> please"),
        ("at 192.0.2.77 from home", "at <IP> from home"),
        ("key sk-test-0a1b2c3d4e5f ok", "key <KEY> ok"),
        ("hash 5f4dcc3b5aa765d61d8327deb882cf99", "hash <KEY>"),
        ("password: hunter2 works", "<SECRET> works"),
        ("passwort: aB3dE5fG7", "<SECRET>"),
        ("pwd is Tr0ub4dor&3x", "<SECRET>"),
        ("Bearer abcDEF123456ghiJKL789 ok", "<SECRET> ok"),
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
