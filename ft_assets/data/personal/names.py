"""Names of people, postal addresses and places, which no pattern can tell: found by Presidio, with a language model.

An optional extra (`pip install 'ft_assets[names]'`). The model is a pipeline of spaCy's: a folder with `meta.json` and
`config.cfg`, loaded without running code of its own. A model finds most names, not all, and takes some words for names;
so what is left is not checked again, as what patterns find is (`replacing`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ft_assets.data.config import NameKind
from ft_assets.data.personal.replacing import with_placeholders
from ft_assets.data.personal.streets import STREETS, TOWN
from ft_assets.errors import UserError

if TYPE_CHECKING:
    from presidio_analyzer import BatchAnalyzerEngine, RecognizerResult

__all__ = ["NameFinder"]

_ENTITIES: dict[NameKind, str] = {"address": "ADDRESS", "name": "PERSON", "place": "LOCATION"}
"""What Presidio calls each kind. Where two overlap, the first one is meant."""
_PLACEHOLDER = re.compile(r"<[A-Z]{2,9}>")
_BATCH = 64
_LONGEST = 100_000
"""Characters that are read at once: spaCy takes a gigabyte for ten times as many."""


class NameFinder:
    """Replaces names, addresses and places by typed placeholders.

    Args:
        model: Folder of a spaCy pipeline that tells people and places (its component `ner`).
        kinds: What to look for.

    Raises:
        UserError: Presidio is not installed, or the folder is no such pipeline.
    """

    def __init__(self, model: Path, kinds: Sequence[NameKind]) -> None:
        self._model, self._kinds = model, tuple(kinds)
        self._language = _language(model)

    def replace(self, texts: pl.Series) -> tuple[pl.Series, Counter[str]]:
        """Texts with placeholders (`<NAME>`) in the place of what was found, and how many there were of each kind.

        Args:
            texts: Strings; nulls stay. What is a placeholder already stays as it is.
        """
        found: Counter[str] = Counter()
        places, changed = [], []
        rows = (texts.str.contains(r"\p{L}")).fill_null(False).arg_true()
        lettered = texts.gather(rows)
        for place, text, taken in zip(rows, lettered, self.spans(lettered.to_list()), strict=True):
            if taken:
                found.update(kind for _, _, kind in taken)
                places.append(place)
                changed.append(with_placeholders(text, taken))
        return texts.clone().scatter(places, pl.Series(changed, dtype=pl.String)), found

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        """Start, end and kind of what is found in each text, in its order; no two overlap."""
        parts = [
            (number, start) for number, text in enumerate(texts) for start in range(0, len(text), _LONGEST)
        ]
        results = self._engine.analyze_iterator(
            [texts[number][start : start + _LONGEST] for number, start in parts],
            language=self._language,
            entities=["ADDRESS", "PERSON", "LOCATION"],
            batch_size=_BATCH,
        )
        found: list[list[tuple[int, int, str]]] = [[] for _ in texts]
        for (number, start), entities in zip(parts, results, strict=True):
            found[number] += self._apart(texts[number], start, entities)
        return found

    def _apart(
        self, text: str, start: int, entities: Sequence[RecognizerResult]
    ) -> list[tuple[int, int, str]]:
        """What was found in a part of a text that starts there: no two overlap, none is a placeholder."""
        taken = bytearray(len(text))
        for placeholder in _PLACEHOLDER.finditer(text):
            taken[placeholder.start() : placeholder.end()] = b"\1" * len(placeholder[0])
        spans = []
        for kind in (kind for kind in _ENTITIES if kind in self._kinds):
            for entity in (each for each in entities if each.entity_type == _ENTITIES[kind]):
                first, last = start + entity.start, start + entity.end
                if kind == "address":
                    last = _with_town(text, last, start, entities)
                if taken.find(1, first, last) < 0:
                    taken[first:last] = b"\1" * (last - first)
                    spans.append((first, last, str(kind)))
        return sorted(spans)

    @cached_property
    def _engine(self) -> BatchAnalyzerEngine:
        from presidio_analyzer import (
            AnalyzerEngine,
            BatchAnalyzerEngine,
            Pattern,
            PatternRecognizer,
            RecognizerRegistry,
        )
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer

        streets = [Pattern(f"street {number}", each, 0.6) for number, each in enumerate(STREETS)]
        by_model = SpacyRecognizer(self._language, ["PERSON", "LOCATION"])
        by_form = PatternRecognizer(
            "ADDRESS",
            patterns=streets,
            supported_language=self._language,
            global_regex_flags=re.MULTILINE,
        )
        models = [{"lang_code": self._language, "model_name": str(self._model)}]
        languages = [self._language]
        try:
            nlp = SpacyNlpEngine(models=models)
            nlp.load()
        except (ValueError, OSError, ImportError) as error:
            raise UserError(
                f"the model for names cannot be loaded: {type(error).__name__}",
                where=f"cleaning.names.model ({self._model})",
                do="take a pipeline made for the installed version of spaCy, which needs no code of its own",
            ) from error
        return BatchAnalyzerEngine(
            AnalyzerEngine(
                registry=RecognizerRegistry([by_model, by_form], supported_languages=languages),
                nlp_engine=nlp,
                supported_languages=languages,
            )
        )


def _with_town(text: str, street: int, start: int, entities: Sequence[RecognizerResult]) -> int:
    """The end of an address whose street ends there: by the form of what follows, or because the model calls it a
    place."""
    town = TOWN.match(text, street)
    if town:
        return town.end()
    places = (each for each in entities if each.entity_type == "LOCATION")
    return next(
        (
            start + each.end
            for each in places
            if text[street : start + each.start] in (" ", ", ", ",\n", "\n")
        ),
        street,
    )


def _language(model: Path) -> str:
    """The language of a pipeline; that it is one that can be used is found out here, before any row is read."""
    where = f"cleaning.names.model ({model})"
    try:
        meta = json.loads((model / "meta.json").read_bytes())
        language, components = str(meta["lang"]), list(meta["components"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "the model for names is no pipeline of spaCy",
            where=where,
            do="name the folder that holds meta.json and config.cfg",
        ) from error
    if "ner" not in components:
        raise UserError(
            "the model for names tells no names: it has no component 'ner'",
            where=where,
            do="take another pipeline, such as en_core_web_sm",
        )
    try:
        import presidio_analyzer  # noqa: F401
    except ImportError as error:
        raise UserError(
            "'cleaning.names' needs Presidio, which is not installed",
            where="cleaning.names",
            do="pip install 'ft_assets[names]'",
        ) from error
    return language
