"""What is repaired in a text, which texts are refused, and what counts as a duplicate."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from ft_assets.config import StrictModel
from ft_assets.data.config.values import AsText

__all__ = [
    "CleaningConfig",
    "NameKind",
    "NamesConfig",
    "NearDuplicatesConfig",
    "PersonalKind",
    "QualityConfig",
]

PersonalKind = Literal["email", "phone", "card", "iban", "id", "ip", "key", "url"]
NameKind = Literal["name", "address", "place"]


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


Language = Annotated[str, AsText, AfterValidator(_known_language)]
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
