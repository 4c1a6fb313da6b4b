"""Settings of the data layer: where rows come from, how they are cleaned, labelled and split, what must hold.

Here: small pydantic models that the code location loads at start, so nothing but pydantic is imported.
Not here: reading, cleaning, splitting (the modules named after them).
"""

from __future__ import annotations

import codecs
import difflib
import re
from datetime import date
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from ft_assets.config import StrictModel, nearest_or_all
from ft_assets.data.times import iso, microseconds

__all__ = [
    "CleaningConfig",
    "ColumnRef",
    "ColumnsConfig",
    "ContractsConfig",
    "DriftConfig",
    "LabelsConfig",
    "LanguagesConfig",
    "NameKind",
    "NamesConfig",
    "NearDuplicatesConfig",
    "OwnCheck",
    "PersonalKind",
    "QualityConfig",
    "RelabelConfig",
    "SemanticDuplicatesConfig",
    "SettableCheck",
    "Severity",
    "SourceConfig",
    "SplitsConfig",
    "Threshold",
]

FileFormat = Literal["csv", "tsv", "jsonl", "parquet", "json", "arrow", "text"]
Severity = Literal["critical", "warning"]
SettableCheck = Literal[
    "files_readable",
    "few_rows_quarantined",
    "every_class_present",
    "answers_present",
    "label_balance",
    "near_duplicate_clusters_small",
    "near_duplicate_labels_agree",
    "few_shared_passages",
    "no_shared_semantic_duplicates",
    "corrections_used",
]
"""Checks whose outcome is a matter of taste; the others say that something is wrong."""
PersonalKind = Literal["email", "phone", "card", "iban", "id", "ip", "key", "url"]
NameKind = Literal["name", "address", "place"]


def _as_text(value: Any) -> Any:
    """YAML reads `1` as a number and `no` as false; only the first still has its own spelling."""
    if isinstance(value, bool):
        raise ValueError(f"YAML reads this word as {str(value).lower()}: put it in quotes")
    return str(value) if isinstance(value, int | float) else value


_AsText = BeforeValidator(_as_text, json_schema_input_type=str | int | float)
LabelName = Annotated[str, _AsText, Field(min_length=1)]
RawLabel = Annotated[str, _AsText]


# Parameters of a database's URL that may be secrets: `password`, `sslpassword`, `odbc_connect` (which holds `PWD=`).
_SECRET_PARAMETER = re.compile(r"pass|pwd|secret|token|key|cred|odbc_connect", re.IGNORECASE)


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
    rows are new ones: those that were erased, too, are read again."""
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


class ColumnRef(StrictModel):
    """A column, and the part of its value that is meant."""

    column: str
    """Name of the column."""
    pattern: str | None = None
    """Regular expression searched in the value: its one group counts, or the whole match when it has none."""

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if groups > 1:
                raise ValueError(f"has {groups} groups, expected one or none: write (?:…) for the others")
        return value


class LanguagesConfig(StrictModel):
    """The languages of rows that hold a text in several of them, by the names that they have there (`en`)."""

    source: str = Field(min_length=1)
    """The language that is translated."""
    target: str = Field(min_length=1)
    """The language that it is translated into."""

    @model_validator(mode="after")
    def _they_differ(self) -> LanguagesConfig:
        if self.source == self.target:
            raise ValueError(f"source and target are both '{self.source}'")
        return self


class ColumnsConfig(StrictModel):
    """Which columns of the sources hold what. `text` and `label` are those of a classification; a conversation comes
    in a form of its own (`layout`)."""

    text: str = "text"
    """Column with the text."""
    label: str = "label"
    """Column with the label, or with the number that `labels.thresholds` turns into one."""
    ratings: list[str] = Field(default_factory=list)
    """Columns with what several raters said, instead of `label`; each holds one rating or a list of them."""
    rater: str | None = None
    """Column that says who gave the label, where a text has a row for each rater."""
    layout: Literal[
        "auto",
        "chat",
        "sharegpt",
        "alpaca",
        "prompt_completion",
        "completion",
        "summarization",
        "translation",
        "translations",
    ] = "auto"
    """Form of the rows, where a model writes. auto: by the names of the columns."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Column → field of the form (`question: prompt`), where a model writes."""
    languages: LanguagesConfig | None = None
    """Which is which, where rows hold translations by language (`{"translation": {"en": …, "fr": …}}`)."""
    tool_turns: Literal["refuse", "keep"] = "refuse"
    """What becomes of conversations in which a tool is called or speaks. keep: only where the chat template of the base
    model knows them (the role `tool`, `tool_calls`, a row's `tools`); the training checks it."""
    group: str | ColumnRef | None = None
    """What belongs together (author, thread, product) and may not be split apart; null: nothing does."""
    time: str | ColumnRef | None = None
    """When the row was made: ISO 8601, in UTC where it names no zone, or a number of seconds (or milli-, micro-,
    nanoseconds) since 1970. What is no time refuses its row; an empty value is no time known."""

    @model_validator(mode="after")
    def _ratings_come_in_one_way(self) -> ColumnsConfig:
        if self.ratings and self.rater:
            raise ValueError("give 'ratings' (columns of one row) or 'rater' (a row for each), not both")
        if len(set(self.ratings)) < len(self.ratings):
            raise ValueError("'ratings' names a column twice")
        return self

    @property
    def rated(self) -> bool:
        """Whether a text has several ratings instead of a label."""
        return bool(self.ratings or self.rater)


# Those that the model of `ft_assets.data.languages` tells apart (lid.176, fasttext.cc): ISO 639, two or three letters.
_LANGUAGES = (
    "af", "als", "am", "an", "ar", "arz", "as", "ast", "av", "az", "azb", "ba", "bar", "bcl", "be", "bg",
    "bh", "bn", "bo", "bpy", "br", "bs", "bxr", "ca", "cbk", "ce", "ceb", "ckb", "co", "cs", "cv", "cy", "da",
    "de", "diq", "dsb", "dty", "dv", "el", "eml", "en", "eo", "es", "et", "eu", "fa", "fi", "fr", "frr", "fy",
    "ga", "gd", "gl", "gn", "gom", "gu", "gv", "he", "hi", "hif", "hr", "hsb", "ht", "hu", "hy", "ia", "id",
    "ie", "ilo", "io", "is", "it", "ja", "jbo", "jv", "ka", "kk", "km", "kn", "ko", "krc", "ku", "kv", "kw",
    "ky", "la", "lb", "lez", "li", "lmo", "lo", "lrc", "lt", "lv", "mai", "mg", "mhr", "min", "mk", "ml",
    "mn", "mr", "mrj", "ms", "mt", "mwl", "my", "myv", "mzn", "nah", "nap", "nds", "ne", "new", "nl", "nn",
    "no", "oc", "or", "os", "pa", "pam", "pfl", "pl", "pms", "pnb", "ps", "pt", "qu", "rm", "ro", "ru", "rue",
    "sa", "sah", "sc", "scn", "sco", "sd", "sh", "si", "sk", "sl", "so", "sq", "sr", "su", "sv", "sw", "ta",
    "te", "tg", "th", "tk", "tl", "tr", "tt", "tyv", "ug", "uk", "ur", "uz", "vec", "vep", "vi", "vls", "vo",
    "wa", "war", "wuu", "xal", "xmf", "yi", "yo", "yue", "zh",
)  # fmt: skip


def _known_language(value: str) -> str:
    if value in _LANGUAGES:
        return value
    near = difflib.get_close_matches(value, _LANGUAGES, n=3, cutoff=0.5)
    raise ValueError(
        f"'{value}' is no language that is told apart: write its code of two letters (ISO 639-1), such as en or de"
        + (f"; near it are {', '.join(near)}" if near else "")
    )


Language = Annotated[str, _AsText, AfterValidator(_known_language)]
Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]


class QualityConfig(StrictModel):
    """Which texts are refused as hardly prose; null: none is. Where texts are short, look at what is refused.

    The rules are those of Gopher (Rae et al. 2021, A.1.1), made for web pages, and MassiveText's figures are named; of
    scripts without spaces between words (Chinese, Japanese, Thai, …) each character counts as a word.
    """

    min_words: int | None = Field(default=None, ge=1)
    """Fewest words (Gopher: 50)."""
    max_words: int | None = Field(default=None, ge=1)
    """Most words (Gopher: 100,000)."""
    min_letter_share: float | None = Field(default=None, ge=0, le=1)
    """Smallest share of words that hold a letter (Gopher: 0.8)."""
    max_symbol_share: float | None = Field(default=None, ge=0)
    """Most hash signs, and most ellipses, a word (Gopher: 0.1)."""
    max_repeated_share: float | None = Field(default=None, ge=0, le=1)
    """Largest share of sequences of four words that have stood in the text before (seq-rep-4 of Welleck et al. 2020).
    Of prose of some hundred words it is below 0.05; Gopher bounds other measures of the same at 0.1 to 0.3."""

    @model_validator(mode="after")
    def _limits_leave_room(self) -> QualityConfig:
        if self.min_words is not None and self.max_words is not None and self.min_words > self.max_words:
            raise ValueError(f"min_words ({self.min_words}) is above max_words ({self.max_words})")
        return self


class NearDuplicatesConfig(StrictModel):
    """Texts that are not equal, and still the same but for some words."""

    action: Literal["cluster", "merge", "ignore"] = "cluster"
    """cluster: all stay, in one split, so that none is judged by what it was trained on. merge: of those with the same
    label one stays. ignore: they are not looked for. By default nothing is lost: which of two versions is the better
    one, or whether both are wanted, only the user knows."""
    threshold: float = Field(default=0.7, ge=0.5, le=1)
    """Jaccard similarity from which on two texts are near duplicates: of five words in a row, of short texts and of
    scripts without spaces four characters. At 0.7 one word of 32 differs. Lee et al. 2022 delete from 0.8 on; keeping
    together costs less than deleting, so it begins earlier."""


class NamesConfig(StrictModel):
    """Names of people, postal addresses and places become placeholders, as Presidio finds them: an optional extra
    (`pip install 'ft_assets[names]'`), for some hundred rows a second."""

    model: str
    """A pipeline of spaCy's that tells people and places, in the language of the texts: a folder with `meta.json` and
    `config.cfg`, or `pypi://…` or any other source of one."""
    kinds: tuple[NameKind, ...] = Field(default=("name", "address"), min_length=1)
    """What is replaced: `name` (people), `address` (street and number, with the town behind it), `place` (towns,
    countries and the like, wherever they stand)."""


class CleaningConfig(StrictModel):
    """What is repaired in a text, and which texts are refused."""

    repair_encoding: bool = True
    """Repair text that was decoded with the wrong encoding (ftfy), only in rows that look like it."""
    unicode_form: Literal["NFC", "NFKC"] = "NFC"
    """Unicode normal form (UAX 15); NFC keeps what the writer saw, NFKC folds ligatures, too."""
    collapse_whitespace: bool | None = None
    """Turn each run of white space, line ends included, into one space. None: where labels are chosen yes; where a
    model writes no, since code, lists and paragraphs live from it. Ends are stripped in any case (but not the
    indentation of what a model reads and writes)."""
    strip_html: bool | None = None
    """Take HTML out of texts that hold a tag. None: where labels are chosen yes; where a model writes no, since markup
    may be what it is to read or to write."""
    personal_data: list[PersonalKind] = Field(default_factory=lambda: list(get_args(PersonalKind)))
    """Kinds of personal data and secrets that become placeholders (`<EMAIL>`): e-mail addresses, phone numbers, payment
    cards, IBANs, national ids, IP addresses, keys and tokens, URLs with credentials. An empty list leaves all in."""
    phone_regions: list[Region] = Field(default_factory=lambda: ["US", "GB", "DE", "FR", "ES", "IT", "NL"])
    """Countries (ISO 3166, two letters) whose phone numbers are known without their country code; with it, all are."""
    names: NamesConfig | None = None
    """How names of people and postal addresses are found, which no pattern can tell; null: they stay."""
    min_chars: int = Field(default=1, ge=1)
    """Shortest text, in characters after cleaning."""
    max_chars: int = Field(default=20_000, ge=1)
    """Longest text, in characters after cleaning: some 5,000 tokens, ten times a usual encoder's window."""
    near_duplicates: NearDuplicatesConfig = Field(default_factory=NearDuplicatesConfig)
    """What becomes of texts that are nearly the same."""

    languages: list[Language] = Field(default_factory=list)
    """Languages (ISO 639 codes, such as en) that texts may be in; others are refused, and those too short to tell are
    kept. An empty list allows all. Of a conversation the last prompt counts."""
    min_language_confidence: float = Field(default=0.65, ge=0, le=1)
    """Probability from which on a language counts as told (0.65 as in FineWeb; Penedo et al. 2024)."""
    count_languages: int = Field(default=10_000, ge=0)
    """Of how many cleaned rows the language is counted for people: those with the smallest ids, which are hashes and so
    as good as drawn by lot. 0: of none."""
    quality: QualityConfig = QualityConfig()
    """Filters for texts that are hardly prose."""

    @model_validator(mode="after")
    def _limits_leave_room(self) -> CleaningConfig:
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is above max_chars ({self.max_chars})")
        return self


class Threshold(StrictModel):
    """A label for the numbers above and/or below a bound; without bounds, for all that is left."""

    label: LabelName
    """The label given."""
    above: float | None = None
    """Exclusive lower bound, in units of the label column."""
    below: float | None = None
    """Exclusive upper bound, in units of the label column."""

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> Threshold:
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"no number is above {self.above} and below {self.below}")
        return self


class LabelsConfig(StrictModel):
    """How the raw label becomes one of the task's labels: exactly one of `names`, `map`, `thresholds`.

    A plain list in the YAML (`labels: [a, b]`) means `names`.
    """

    ratings: Literal["majority", "mean"] | None = None
    """How several ratings of a text become one. majority: the label that most are for; mean: the mean of the numbers
    goes through the thresholds. None: mean where there are thresholds, else majority."""
    corrections: str | None = None
    """The file of human corrections, .jsonl or .csv: below the data directory, or beside the task (`./…`). None:
    corrections/<task>.jsonl, if it is there."""

    names: list[LabelName] | None = None
    """The labels, as they stand in the data."""
    map: dict[RawLabel, LabelName] | None = None
    """Raw value → label; raw values that are not listed are refused."""
    thresholds: list[Threshold] | None = None
    """Rules for a number, first match wins; a last rule without bounds takes all that is left."""

    @model_validator(mode="before")
    @classmethod
    def _a_list_means_names(cls, values: Any) -> Any:
        return {"names": values} if isinstance(values, list) else values

    @model_validator(mode="after")
    def _one_way_and_two_labels(self) -> LabelsConfig:
        given = [key for key in ("names", "map", "thresholds") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of 'names', 'map' and 'thresholds', not {given or 'none'}")
        for key, values in (("names", self.names), ("map", self.map)):
            if values is not None and len({value.strip() for value in values}) != len(values):
                raise ValueError(f"'{key}' has a value twice (white space around it does not count)")
        for rule in (self.thresholds or [])[:-1]:
            if rule.above is None and rule.below is None:
                raise ValueError(f"the rule for '{rule.label}' has no bound and is not the last one")
        if self.ratings == "mean" and self.thresholds is None:
            raise ValueError("ratings: mean wants numbers, and thresholds to make labels of them")
        if len(self.label_names()) < 2:
            raise ValueError("a classification needs at least two labels")
        return self

    @field_validator("corrections")
    @classmethod
    def _corrections_are_a_local_file(cls, value: str | None) -> str | None:
        if value is not None and ("://" in value or not value.lower().endswith((".jsonl", ".csv"))):
            raise ValueError("expected a file of this machine that ends in .jsonl or .csv")
        return value

    @property
    def rated_by(self) -> Literal["majority", "mean"]:
        """How several ratings become one."""
        return self.ratings or ("majority" if self.thresholds is None else "mean")

    def label_names(self) -> list[str]:
        """The task's labels in the model's order: `names` as given, else by first appearance."""
        if self.names is not None:
            return list(self.names)
        if self.map is not None:
            return list(dict.fromkeys(self.map.values()))
        return list(dict.fromkeys(rule.label for rule in self.thresholds or []))


class RelabelConfig(StrictModel):
    """The queue of labels that are probably wrong."""

    queue: int = Field(default=500, ge=0, le=100_000)
    """Rows of the queue at most; 0: there is none."""
    folds: int = Field(default=5, ge=2, le=20)
    """Models that judge, each of which has not seen the rows that it judges."""
    max_rows: int = Field(default=50_000, ge=100)
    """Rows that are judged at most, drawn by whole clusters: time is linear in them, about a minute for these."""


def _as_moment(value: Any) -> Any:
    text = value.isoformat() if isinstance(value, date) else str(value)
    made = microseconds(text)
    if made is None:
        raise ValueError(f"'{text}' is no time: write a day (2026-03-01), or a day and time in ISO 8601")
    return iso(made)


Moment = Annotated[str, BeforeValidator(_as_moment)]


class SemanticDuplicatesConfig(StrictModel):
    """Rows of validation and test that say what a row of an earlier split says, in other words: looked for by the
    embeddings of their texts before splits are published. It warns, and moves no row."""

    threshold: float = Field(default=0.9, gt=0, le=1)
    """Cosine from which on two texts count as saying the same. On `review_sentiment` with MiniLM 8 of 1,109 rows reach
    0.9, and each of them does; from 0.85 on are 27, and many have no more than their topic in common. Another model has
    another scale: look at the largest and the median cosine that the splits show."""
    model: str | None = None
    """The encoder, as `base_model` names one; null: the base model, where that is an encoder. One that was trained to
    tell sentences alike (such as MiniLM or E5) tells it far better than one that was not."""


class SplitsConfig(StrictModel):
    """Shares of the splits, for clusters that the split ledger has not recorded yet; what is recorded stays."""

    validation: float = Field(default=0.15, ge=0, lt=1)
    """Share of rows in validation. 0: those of the sources that are for validation, and no others."""
    test: float = Field(default=0.15, ge=0, lt=1)
    """Share of rows in test. 0: those of the sources that are for test, and no others."""
    by: Literal["random", "time"] = "random"
    """random: new clusters are drawn so that labels are spread evenly. time: the newest ones are for test, those before
    them for validation (`columns.time`)."""
    validation_from: Moment | None = None
    """Where splits go by time: since when rows are for validation; null: as the shares say."""
    test_from: Moment | None = None
    """Where splits go by time: since when rows are for test; null: as the shares say."""
    salt: str = "ft_assets"
    """Goes into the draw of new clusters. To draw all rows anew: `python -m ft_assets ledger reset TASK`."""
    semantic_duplicates: SemanticDuplicatesConfig | None = None
    """How texts that mean the same are looked for in several splits; null: they are not. `{}` does, by the defaults."""

    @property
    def dealing(self) -> dict[str, Any]:
        """What decides which split a row goes to, as plain JSON."""
        return self.model_dump(mode="json", exclude={"semantic_duplicates"})

    @property
    def shares(self) -> dict[str, float]:
        """Share of rows by split, train included."""
        return {
            "train": 1 - (self.test + self.validation),
            "validation": self.validation,
            "test": self.test,
        }

    @model_validator(mode="after")
    def _boundaries_belong_to_time(self) -> SplitsConfig:
        given = {"validation": self.validation_from, "test": self.test_from}
        if not any(given.values()):
            return self
        if self.by != "time":
            raise ValueError("'validation_from' and 'test_from' belong to 'by: time'")
        for name, since in given.items():
            if (since is None) != (self.shares[name] == 0):
                raise ValueError(
                    f"give '{name}_from', too, or 'validation: 0' and 'test: 0' where there is no period"
                )
        if all(given.values()) and str(given["validation"]) >= str(given["test"]):
            raise ValueError("'validation_from' has to be before 'test_from'")
        return self

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> SplitsConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation and test take {self.validation + self.test:g}: nothing left for train"
            )
        return self


class DriftConfig(StrictModel):
    """When a version of the data counts as another than the last one. A value drifts when it is further above what
    chance gives than its limit; it warns and never blocks."""

    rows: int = Field(default=5_000, ge=100, le=50_000)
    """Rows of either side whose texts are compared, a count: those with the smallest ids, which are hashes."""
    min_rows: int = Field(default=100, ge=20)
    """New rows, a count: of fewer nothing is said. With 100 the share of a label is known to 0.1 (95 %)."""
    labels: float = Field(default=0.1, ge=0)
    """Population stability index of the labels. Below 0.1 nothing has changed, above 0.25 much has (Siddiqi 2006,
    Credit Risk Scorecards, p. 369)."""
    lengths: float = Field(default=0.1, ge=0)
    """The same of the texts' lengths, over bins that double."""
    vocabulary: float = Field(default=0.1, ge=0, le=1)
    """Jensen-Shannon distance of the words, from 0 to 1 (Endres & Schindelin 2003; 0.1 is what the tools of the field
    take)."""
    new_words: float = Field(default=0.1, ge=0, le=1)
    """Share of words that the last version has not."""
    classifier: float = Field(default=0.7, ge=0.5, le=1)
    """Area under the ROC curve of a classifier that tells new rows from old ones (Lopez-Paz & Oquab 2017): 0.5 cannot,
    1 always can, from 0.7 it can acceptably (Hosmer & Lemeshow 2000, p. 162). The lower end of the 95 % interval is
    held against it."""


class OwnCheck(StrictModel):
    """A check of the task's own on what is known of each row: exactly one of `between`, `in_set`, `not_in_set` and
    `matches`."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$", max_length=60)
    """Its name in the UI."""
    column: Literal["chars", "words", "label", "group"]
    """chars and words: the length of the text; label, and group as they stand in the stage."""
    stage: Literal["cleaned_examples", "labeled_examples"] = "labeled_examples"
    """The asset that is checked."""
    between: tuple[float | None, float | None] | None = None
    """Least and largest value, both included; null is no limit. For chars and words."""
    in_set: list[LabelName] | None = None
    """The only values that may occur. For label and group."""
    not_in_set: list[LabelName] | None = None
    """Values that may not occur. For label and group."""
    matches: str | None = None
    """Regular expression that is found in each value. For label and group."""
    mostly: float = Field(default=1.0, gt=0, le=1)
    """Share of the rows for which it must hold."""
    severity: Severity = "warning"
    """critical: the stage is not published where it fails."""
    advice: str = "look at the rows, and at what the task says of them"
    """What to do when it fails."""

    @model_validator(mode="after")
    def _one_test_that_fits_its_column(self) -> OwnCheck:
        tests = ("between", "in_set", "not_in_set", "matches")
        given = [name for name in tests if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{self.name}: give exactly one of {', '.join(tests)}, not {given or 'none'}")
        of_lengths = self.column in ("chars", "words")
        if of_lengths != (given == ["between"]):
            fits = "between" if of_lengths else "in_set, not_in_set or matches"
            raise ValueError(f"{self.name}: {given[0]} does not fit the column {self.column}: use {fits}")
        return self

    @field_validator("between")
    @classmethod
    def _limits_leave_room(cls, value: tuple[float | None, float | None] | None) -> Any:
        given = [limit for limit in value or () if limit is not None]
        if value is not None and (not given or given != sorted(given)):
            raise ValueError("expected [least, largest], of which one may be null")
        return value

    @field_validator("matches")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value


class ContractsConfig(StrictModel):
    """Limits of the checks that are a matter of taste; the others follow from the task."""

    max_quarantined: float = Field(default=0.1, ge=0, le=1)
    """Share of a stage's rows that may be refused before a warning is given."""
    max_cluster: float = Field(default=0.1, gt=0, le=1)
    """Share of the rows that a cluster made by near duplicates may hold before a warning is given: with more of them
    validation and test (0.15 each) are not met."""
    max_shared_passages: float = Field(default=0.01, ge=0, lt=1)
    """Share of the rows of validation or test that may have 13 words in a row in common with train before a warning is
    given."""
    max_label_deviation: float = Field(default=0.15, ge=0, le=1)
    """Largest difference between a label's share in a split and in all rows before a warning is given.
    Of five draws of 300 clusters of twelve rows none is off by more than 0.02. A few large clusters are, and so may be
    what was recorded before labels were drawn evenly: of 300 salted hashes on the sample none by more than 0.15."""
    drift: DriftConfig = DriftConfig()
    """When the data card warns of a version that is another than the last one."""
    severity: dict[SettableCheck, Severity] = Field(default_factory=dict)
    """Check → critical or warning, where it is not to be as it is: what is critical and fails keeps a stage from being
    published, a warning tells. Checks that guard against faults of the project cannot be set."""

    expect: list[OwnCheck] = Field(default_factory=list)
    """Checks of the task's own, beside those that every task has."""

    @field_validator("expect")
    @classmethod
    def _names_are_distinct(cls, value: list[OwnCheck]) -> list[OwnCheck]:
        names = [(each.stage, each.name) for each in value]
        if len(set(names)) != len(names):
            raise ValueError("two checks of one stage have the same name")
        return value

    @model_validator(mode="before")
    @classmethod
    def _name_what_has_moved(cls, values: Any) -> Any:
        if isinstance(values, dict) and "unreadable_files" in values:
            raise ValueError("'unreadable_files' is now 'severity: {files_readable: critical}'")
        return values

    @field_validator("severity", mode="before")
    @classmethod
    def _name_the_nearest_check(cls, given: Any) -> Any:
        known = get_args(SettableCheck)
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                raise ValueError(
                    f"no check '{name}' has a severity that can be set: {nearest_or_all(name, known)}"
                )
        return given
