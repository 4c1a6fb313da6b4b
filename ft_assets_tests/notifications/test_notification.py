"""How a message reads."""

from dataclasses import replace
from datetime import UTC, datetime

from ft_assets.notifications import Notification

NOTE = Notification(
    kind="run_failed",
    title="tickets: raw_examples failed",
    reason="the file is empty\nwhere: /data/x.csv\ndo: give a file with rows",
    task="tickets",
    asset="raw_examples",
    link="http://127.0.0.1:3000/runs/1",
    when=datetime(2026, 11, 23, 4, 5, 6, 789, tzinfo=UTC),
)


def test_as_json() -> None:
    assert NOTE.as_json() == {
        "kind": "run_failed",
        "title": "tickets: raw_examples failed",
        "reason": "the file is empty\nwhere: /data/x.csv\ndo: give a file with rows",
        "task": "tickets",
        "asset": "raw_examples",
        "link": "http://127.0.0.1:3000/runs/1",
        "when": "2026-11-23T04:05:06+00:00",
    }


def test_as_an_e_mail() -> None:
    assert NOTE.as_text() == (
        "the file is empty\nwhere: /data/x.csv\ndo: give a file with rows\n\n"
        "task: tickets\nasset: raw_examples\nwhen: 2026-11-23 04:05:06 UTC\nhttp://127.0.0.1:3000/runs/1\n"
    )


def test_for_slack_nothing_in_it_is_a_link_a_mention_or_the_end_of_the_code_block() -> None:
    hostile = replace(NOTE, title="a <!channel> & <https://x|y>", reason="1 < 2 ```*@channel*")
    assert hostile.as_slack() == {
        "text": ":x: *a &lt;!channel&gt; &amp; &lt;https://x|y&gt;*\n```1 &lt; 2 '''*@channel*```\n"
        "<http://127.0.0.1:3000/runs/1|Open in Dagster>",
        "mrkdwn": True,
    }


def test_what_does_not_print_is_left_out_and_what_is_long_is_cut() -> None:
    note = replace(NOTE, title="two\r\nBcc: lines\x1b[31m\u202e", reason="a\x00b\r\n" + "x" * 10_000)
    assert note.title == "two Bcc: lines[31m"
    assert note.reason.startswith("ab\nxxx") and note.reason.endswith(" …") and len(note.reason) == 600
