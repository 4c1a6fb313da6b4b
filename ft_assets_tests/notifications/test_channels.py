"""The channels against real servers: what arrives, what is tried again, and errors that give no secret away."""

import shutil
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ft_assets.errors import UserError
from ft_assets.io.notifier import NotifierResource
from ft_assets.notifications import Channel, NotificationSettings, channel, web
from ft_assets.notifications.settings import VARIABLES
from ft_assets_tests.notifications.servers import Inbox, certificate, http_inbox, smtp_post
from ft_assets_tests.notifications.test_notification import NOTE

TOKEN = "T0PSECRET"  # stands for all that may not be told: paths and queries of URLs, users, passwords
CLOSED = "127.0.0.1:9"  # the discard port: nobody listens there
MAIL = {"email_to": "team@example.org", "email_from": "dagster@example.org"}


@pytest.fixture(autouse=True)
def no_pause_and_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "PAUSE_SECONDS", 0.0)
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with http_inbox() as made:
        yield made


def only(**settings: str) -> Channel:
    """The one channel that the settings switch on."""
    (found,) = NotificationSettings(**settings).channels()
    return found


def told_without_secrets(channel: Channel) -> str:
    """The error when it is told; neither it nor what led to it holds a secret."""
    with pytest.raises(UserError) as raised:
        channel.send(NOTE)
    assert TOKEN not in "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    return str(raised.value)


def test_nothing_is_switched_on_by_default() -> None:
    assert NotificationSettings.from_environment().channels() == []
    assert NotifierResource().channels() == []


def test_the_environment_switches_channels_on_and_the_resource_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FT_NOTIFY_WEBHOOK", " https://example.org/hook ")
    monkeypatch.setenv("FT_NOTIFY_SLACK", "https://example.org/slack")
    monkeypatch.setenv("FT_NOTIFY_SMTP", "smtp://example.org")
    assert [each.name for each in NotifierResource().channels()] == ["webhook", "slack", "email"]
    assert [each.name for each in NotifierResource(slack="", smtp="").channels()] == ["webhook"]


def test_the_webhook_gets_json(inbox: Inbox) -> None:
    only(webhook=f"{inbox.url}/hook/{TOKEN}?key={TOKEN}").send(NOTE)
    assert inbox.paths == [f"/hook/{TOKEN}?key={TOKEN}"]
    assert inbox.bodies == [NOTE.as_json()]
    assert inbox.headers[0]["Content-Type"] == "application/json; charset=utf-8"


def test_slack_gets_a_text(inbox: Inbox) -> None:
    only(slack=inbox.url).send(NOTE)
    assert inbox.bodies == [NOTE.as_slack()]


def test_user_and_password_of_a_webhook_go_into_a_header(inbox: Inbox) -> None:
    only(webhook=inbox.url.replace("//", "//me:p%40ss@")).send(NOTE)
    assert inbox.headers[0]["Authorization"] == "Basic bWU6cEBzcw=="
    assert inbox.headers[0]["Host"] == inbox.url.removeprefix("http://")


@pytest.mark.parametrize(("answers", "tries"), [([500, 503, 200], 3), ([429], 2)])
def test_a_server_in_trouble_is_asked_again(inbox: Inbox, answers: list[int], tries: int) -> None:
    inbox.answers = list(answers)
    only(webhook=inbox.url).send(NOTE)
    assert len(inbox.bodies) == tries


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (404, 1), (403, 1)])
def test_an_error_says_which_channel_and_host(inbox: Inbox, status: int, tries: int) -> None:
    inbox.answers = [status] * 4
    said = told_without_secrets(only(webhook=f"{inbox.url}/{TOKEN}"))
    assert said.startswith(f"webhook: it answers {status}\n  where: 127.0.0.1\n  do: ")
    assert len(inbox.bodies) == tries


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(inbox: Inbox, status: int, tmp_path: Path) -> None:
    for location in (f"{inbox.url}/elsewhere/{TOKEN}", f"file://{tmp_path}", "ftp://127.0.0.1/x"):
        inbox.answers, inbox.location = [status], location
        said = told_without_secrets(only(webhook=f"{inbox.url}/hook"))
        assert f"it answers {status}, a redirect, which is not followed" in said
    assert inbox.paths == ["/hook"] * 3


def test_nobody_listens() -> None:
    assert "nobody listens there" in told_without_secrets(only(slack=f"http://{CLOSED}/{TOKEN}"))
    assert "nobody listens there" in told_without_secrets(
        only(**MAIL, smtp=f"smtps://{TOKEN}@{CLOSED}", smtp_password=TOKEN)
    )


def test_a_server_that_says_nothing_is_given_up_until_the_next_tick(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "TIMEOUT_SECONDS", 0.1)
    inbox.silent = threading.Event()
    said = told_without_secrets(only(webhook=f"{inbox.url}/{TOKEN}"))
    assert "no answer within" in said
    assert len(inbox.bodies) == 1  # it has been sent: another try at once might tell it twice


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://example.org/{TOKEN}",
        f"file:///etc/{TOKEN}",
        f"{TOKEN}",
        f"http:///{TOKEN}",
        f"http://example.org:99999/{TOKEN}",
        f"http://[::1/{TOKEN}",
        f"https://example.org/a b{TOKEN}",
        f"https://example.org/\n{TOKEN}",
        f"https://exämple.org/{TOKEN}",
    ],
)
def test_what_is_no_url_of_the_web_is_an_error_that_names_the_variable_only(url: str) -> None:
    broken = only(webhook=url)
    with pytest.raises(UserError, match="FT_NOTIFY_WEBHOOK"):
        broken.check()
    assert "do: set FT_NOTIFY_WEBHOOK to a URL that begins with https://" in told_without_secrets(broken)


def test_no_secret_is_shown_by_what_holds_it() -> None:
    settings = {
        "webhook": f"https://example.org/{TOKEN}",
        "slack": f"https://example.org/{TOKEN}",
        "smtp": f"smtp://{TOKEN}@example.org",
        "smtp_password": TOKEN,
        "ui_url": f"http://{TOKEN}@127.0.0.1:3000",
        **MAIL,
    }
    made = NotificationSettings(**settings)
    shown = (
        repr(made),
        repr(made.channels()),
        repr(NotifierResource(**settings)),
        str(NotifierResource(**settings)),
    )
    assert TOKEN not in "".join(shown)


def test_an_e_mail_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    note = replace(NOTE, title="tickets: größer", reason="Überschrift fehlt\n.\nzwei")
    with smtp_post() as post:
        settings = {
            "email_to": "a@example.org, Team B <b@example.org>",
            "email_from": "Dagster <d@example.org>",
        }
        only(**settings, smtp=f"smtp://127.0.0.1:{post.port}").send(note)
    (mail,) = post.mails
    assert post.to == [["a@example.org", "b@example.org"]]
    assert (mail["Subject"], mail["From"]) == ("tickets: größer", "Dagster <d@example.org>")
    assert mail["Auto-Submitted"] == "auto-generated" and mail["Message-ID"].endswith("@example.org>")
    assert mail.get_content().replace("\r\n", "\n") == note.as_text()


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, object]]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    yield certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_user_and_password_travel_encrypted(
    scheme: str, trusted: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = trusted
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with smtp_post(context=context, encrypted=scheme == "smtps", user="me@x", password=TOKEN) as post:
        server = f"{scheme}://me%40x@127.0.0.1:{post.port}"
        only(**MAIL, smtp=server, smtp_password=TOKEN).send(NOTE)
        assert len(post.mails) == 1 and post.encrypted == [True]
        tried = len(post.lines)
        said = told_without_secrets(only(**MAIL, smtp=server, smtp_password=f"{TOKEN}!"))
    assert "the server does not take user and password (535)" in said and "me@x" not in said
    # It answers 535 with user and password in its text; that is for good, so it is not tried again.
    assert sum("AUTH" in line for line in post.lines[tried:]) == 1


def test_a_certificate_that_nobody_signed_is_not_trusted(trusted: tuple[Path, object]) -> None:
    _file, context = trusted
    with smtp_post(context=context) as post:
        said = told_without_secrets(only(**MAIL, smtp=f"smtp://127.0.0.1:{post.port}"))
    assert "its certificate is not trusted" in said and post.mails == []


def test_no_password_is_sent_without_encryption() -> None:
    with smtp_post(user="me", password=TOKEN) as post:
        said = told_without_secrets(
            only(**MAIL, smtp=f"smtp://me@127.0.0.1:{post.port}", smtp_password=TOKEN)
        )
    assert "user and password were not sent" in said
    assert post.mails == [] and not any("AUTH" in line for line in post.lines)


def test_a_mail_server_in_trouble_is_asked_again() -> None:
    with smtp_post(answers=[451, 451]) as post:
        only(**MAIL, smtp=f"smtp://127.0.0.1:{post.port}").send(NOTE)
        assert len(post.mails) == 1
        post.answers = [552] * 3
        assert "the server answers 552" in told_without_secrets(
            only(**MAIL, smtp=f"smtp://127.0.0.1:{post.port}")
        )
        assert len(post.answers) == 2


def test_one_wrong_address_does_not_keep_the_others_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    with smtp_post(refused={"gone@example.org"}) as post:
        server = {"email_from": "d@example.org", "smtp": f"smtp://127.0.0.1:{post.port}"}
        only(email_to="gone@example.org, a@example.org", **server).send(NOTE)
        assert post.to == [["a@example.org"]]
        assert "refused 1 address(es)" in caplog.text and "gone@" not in caplog.text
        said = told_without_secrets(only(email_to="gone@example.org", **server))
    assert "the server takes none of the 1 address(es) (550)" in said and "gone@" not in said


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"email_to": "a@example.org"}, "FT_NOTIFY_EMAIL_FROM is not set"),
        ({"smtp": "smtp://example.org"}, "FT_NOTIFY_EMAIL_TO is not set"),
        (MAIL, "FT_NOTIFY_SMTP is not set"),
        (MAIL | {"smtp": "example.org:25"}, "FT_NOTIFY_SMTP holds no URL"),
        (MAIL | {"smtp": "http://example.org"}, "FT_NOTIFY_SMTP has the scheme 'http'"),
        (MAIL | {"smtp": f"smtp://u:{TOKEN}@example.org"}, "FT_NOTIFY_SMTP holds a password"),
        (MAIL | {"smtp": f"smtp://{TOKEN}@example.org"}, "belong together"),
        (MAIL | {"smtp": "smtp://example.org", "smtp_password": TOKEN}, "belong together"),
        (MAIL | {"smtp": "smtp://u@example.org", "smtp_password": f"{TOKEN}ü"}, "outside ASCII"),
        (MAIL | {"smtp": "smtp://example.org", "email_to": "nobody"}, "FT_NOTIFY_EMAIL_TO does not hold"),
        (MAIL | {"smtp": "smtp://example.org", "email_to": "a@example.org,"}, "FT_NOTIFY_EMAIL_TO does not hold"),
        (MAIL | {"smtp": "smtp://example.org", "email_from": "a@x.org\nBcc: b@x.org"}, "FT_NOTIFY_EMAIL_FROM does"),
    ],
)  # fmt: skip
def test_settings_of_e_mail_that_do_not_fit(settings: dict[str, str], what: str) -> None:
    broken = only(**settings)
    with pytest.raises(UserError, match=what):
        broken.check()
    assert what in told_without_secrets(broken)


def test_links_into_the_ui() -> None:
    assert NotificationSettings().link("runs", "1") == "http://127.0.0.1:3000/runs/1"
    settings = NotificationSettings(ui_url=f"https://{TOKEN}@dagster.example.org/ui/?x={TOKEN}")
    assert settings.link("assets", "a b", "c") == "https://dagster.example.org/ui/assets/a%20b/c"
    with pytest.raises(UserError, match="FT_UI_URL holds no URL"):
        NotificationSettings(ui_url=TOKEN).link("runs", "1")
