"""Where rows come from."""

from __future__ import annotations

import codecs
import re
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator

from ft_assets.config import StrictModel

__all__ = ["FileFormat", "SourceConfig"]

FileFormat = Literal["csv", "tsv", "jsonl", "parquet", "json", "arrow", "text"]


# Parameters of a database's URL that may be secrets: `password`, `sslpassword`, `odbc_connect` (which holds `PWD=`).
_SECRET_PARAMETER = re.compile(r"pass|pwd|secret|token|key|cred|odbc_connect", re.IGNORECASE)

# Codecs of domain names and of Python's own source: at bytes that they do not know they fail, whatever is to be done.
_NO_FILES = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})


class SourceConfig(StrictModel):
    """One place that rows come from: files, a Python function that yields mappings, or a query of a database."""

    path: str | None = None
    """File, glob, `pypi://…`, `hf://…` or another URL that `ft_assets.sources` resolves."""
    function: str | None = None
    """`module:function`: a function without arguments that yields one mapping a row."""
    sql: str | None = None
    """A query (`select …`) of the database at `url` or `url_env`. With an `order by` rows keep their numbers."""
    url: str | None = None
    """Where the database is, as SQLAlchemy writes it, without a password: `sqlite:///incoming/tickets.db`."""
    url_env: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*$")
    """Name of the environment variable that holds the URL, user and password included."""
    format: FileFormat | None = None
    """csv, tsv, jsonl, json (one array of objects), parquet, arrow or text; from the file's ending when not given.
    `.gz` and `.zst` may follow the ending."""
    encoding: str = "utf-8"
    """Text encoding of csv, tsv, jsonl, json and text files (a Python codec name)."""
    columns: list[str] | None = None
    """Column names of a csv or tsv file that has no header line; the first line is a row then."""
    whole_file: bool = False
    """Of text files: the file is one row; else each line is one."""
    max_decoded_mib: int = Field(default=256, ge=1)
    """MiB that a file may decode to (what it holds unpacked); more is refused where it is also more than 100 times
    the file, which is ten times what prose compresses to."""
    delimiter: str | None = None
    """Field separator of csv and tsv files, one character; comma for csv and tab for tsv when not given."""
    quoting: Literal["double", "none"] | None = None
    """double: fields may stand in double quotes (RFC 4180); none: a quote is a character like any other.
    When not given: double for csv, none for tsv (IANA text/tab-separated-values has no quoting)."""
    name: str = "default"
    """Part of every example_id: keep it when files move or are renamed. Sources may share a name. With another name all
    rows are new ones, and those that were erased stay out."""
    split: Literal["train", "validation", "test"] | None = None
    """The split that all of its rows are for; null: they are drawn, as `splits` says."""

    @model_validator(mode="after")
    def _one_kind_of_source(self) -> SourceConfig:
        if sum(given is not None for given in (self.path, self.function, self.sql)) != 1:
            raise ValueError("give exactly one of 'path', 'function' and 'sql'")
        places = sum(given is not None for given in (self.url, self.url_env))
        if self.sql is None and places:
            raise ValueError("'url' and 'url_env' belong to 'sql'")
        if self.sql is not None and places != 1:
            raise ValueError("'sql' needs exactly one of 'url' and 'url_env'")
        return self

    @field_validator("url")
    @classmethod
    def _url_holds_no_secret(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            secret = parts.password is not None or any(
                _SECRET_PARAMETER.search(name) for name, _ in parse_qsl(parts.query)
            )
        except ValueError:
            raise ValueError("this is no URL: write sqlite:///incoming/tickets.db") from None
        if secret:
            raise ValueError(
                "the URL holds a password: put it into an environment variable, and name that as `url_env:`"
            )
        return value

    @field_validator("function")
    @classmethod
    def _function_is_named_in_full(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w.]+:\w+", value):
            raise ValueError("expected 'module:function', for example 'my_package.rows:load'")
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, value: str) -> str:
        try:
            info = codecs.lookup(value)
        except LookupError:
            raise ValueError(f"unknown encoding '{value}': try utf-8, latin-1, cp1252 or utf-16") from None
        if not getattr(info, "_is_text_encoding", True):
            raise ValueError(f"'{value}' is not a text encoding: try utf-8, latin-1, cp1252 or utf-16")
        if info.name in _NO_FILES:
            raise ValueError(f"no file is written in '{value}': try utf-8, latin-1, cp1252 or utf-16")
        return value

    @field_validator("delimiter")
    @classmethod
    def _delimiter_is_one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value in '\r\n"'):
            raise ValueError("expected one character that is neither a line end nor a double quote")
        return value

    @field_validator("columns")
    @classmethod
    def _columns_are_distinct(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (not value or len(set(value)) != len(value)):
            raise ValueError("expected at least one name, each only once")
        return value
