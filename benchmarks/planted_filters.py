"""Texts that a filter should refuse, and texts that only look like it: for measuring filters of language and quality.

Kept apart from what is measured: nothing of `ft_assets` is imported. The sentences were written for this. Not here:
personal data (`planted.py`), measuring (`data_filters.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.planted import prose

__all__ = ["DEFECTS", "LANGUAGES", "LOOKALIKES", "Sample", "in_english", "in_language"]


@dataclass(frozen=True)
class Sample:
    """A text, and what sort of text it is."""

    text: str
    sort: str


SENTENCES = {
    "de": [
        "Der Wasserkocher ist nach zwei Wochen kaputtgegangen.",
        "Ich habe schon dreimal angerufen, und niemand hat mir geholfen.",
        "Bitte schicken Sie mir eine neue Rechnung an die alte Anschrift.",
        "Die Lieferung kam pünktlich, aber im Karton fehlte das Kabel.",
        "Insgesamt bin ich sehr zufrieden und würde wieder hier bestellen.",
        "Leider passt der Deckel nicht richtig auf die Kanne.",
        "Können Sie mir sagen, wann das Paket bei mir ankommt?",
        "Das Gerät wird beim Laden so heiß, dass man es kaum anfassen kann.",
    ],
    "fr": [
        "La bouilloire est tombée en panne au bout de deux semaines.",
        "J'ai déjà appelé trois fois et personne ne m'a aidé.",
        "Merci de m'envoyer une nouvelle facture à mon ancienne adresse.",
        "La livraison est arrivée à l'heure, mais il manquait le câble.",
        "Dans l'ensemble, je suis très satisfaite de mon achat.",
        "Malheureusement, le couvercle ne ferme pas correctement.",
        "Pouvez-vous me dire quand le colis arrivera chez moi ?",
        "L'appareil chauffe tellement qu'on peut à peine le toucher.",
    ],
    "es": [
        "El hervidor dejó de funcionar después de dos semanas.",
        "Ya he llamado tres veces y nadie me ha ayudado.",
        "Por favor, envíenme una factura nueva a la dirección anterior.",
        "El pedido llegó a tiempo, pero faltaba el cable en la caja.",
        "En general estoy muy contenta y volvería a comprar aquí.",
        "Por desgracia la tapa no encaja bien en la jarra.",
        "¿Me pueden decir cuándo llegará el paquete a mi casa?",
        "El aparato se calienta tanto que apenas se puede tocar.",
    ],
    "it": [
        "Il bollitore si è rotto dopo due settimane.",
        "Ho già telefonato tre volte e nessuno mi ha aiutato.",
        "Vi prego di mandarmi una nuova fattura al vecchio indirizzo.",
        "La consegna è stata puntuale, ma nella scatola mancava il cavo.",
        "Nel complesso sono molto soddisfatto e lo comprerei di nuovo.",
        "Purtroppo il coperchio non si chiude bene.",
        "Potete dirmi quando arriverà il pacco a casa mia?",
        "L'apparecchio diventa così caldo che non si può quasi toccare.",
    ],
    "nl": [
        "De waterkoker ging na twee weken al kapot.",
        "Ik heb al drie keer gebeld en niemand heeft me geholpen.",
        "Stuur mij alstublieft een nieuwe rekening naar het oude adres.",
        "De levering was op tijd, maar de kabel zat niet in de doos.",
        "Al met al ben ik erg tevreden en zou ik hier weer bestellen.",
        "Helaas past het deksel niet goed op de kan.",
        "Kunt u mij vertellen wanneer het pakje bij mij aankomt?",
        "Het apparaat wordt zo heet dat je het nauwelijks kunt aanraken.",
    ],
    "pt": [
        "A chaleira deixou de funcionar ao fim de duas semanas.",
        "Já telefonei três vezes e ninguém me ajudou.",
        "Por favor, enviem uma nova fatura para a morada antiga.",
        "A encomenda chegou a horas, mas faltava o cabo na caixa.",
        "No geral estou muito satisfeita e voltaria a comprar aqui.",
        "Infelizmente a tampa não fecha bem.",
        "Podem dizer-me quando é que o pacote chega a minha casa?",
        "O aparelho aquece tanto que mal se consegue tocar nele.",
    ],
    "pl": [
        "Czajnik zepsuł się już po dwóch tygodniach.",
        "Dzwoniłam trzy razy i nikt mi nie pomógł.",
        "Proszę o przesłanie nowej faktury na stary adres.",
        "Paczka przyszła na czas, ale w pudełku nie było kabla.",
        "Ogólnie jestem bardzo zadowolony i chętnie kupię tu znowu.",
        "Niestety pokrywka nie pasuje dobrze do dzbanka.",
        "Czy możecie mi powiedzieć, kiedy przesyłka do mnie dotrze?",
        "Urządzenie nagrzewa się tak, że prawie nie można go dotknąć.",
    ],
    "tr": [
        "Su ısıtıcısı iki hafta sonra bozuldu.",
        "Üç kez aradım ama kimse bana yardım etmedi.",
        "Lütfen yeni faturayı eski adresime gönderin.",
        "Kargo zamanında geldi ama kutuda kablo yoktu.",
        "Genel olarak çok memnunum ve buradan yine alışveriş yaparım.",
        "Ne yazık ki kapağı sürahiye tam oturmuyor.",
        "Paketin bana ne zaman ulaşacağını söyleyebilir misiniz?",
        "Cihaz o kadar ısınıyor ki dokunmak neredeyse imkânsız.",
    ],
    "ru": [
        "Чайник сломался уже через две недели.",
        "Я звонила три раза, и никто мне не помог.",
        "Пожалуйста, пришлите новый счёт на старый адрес.",
        "Посылка пришла вовремя, но в коробке не было кабеля.",
        "В целом я очень доволен и купил бы здесь ещё раз.",
        "К сожалению, крышка плохо подходит к чайнику.",
        "Скажите, пожалуйста, когда придёт моя посылка?",
        "Прибор так нагревается, что его почти нельзя тронуть.",
    ],
    "zh": [
        "水壶用了两个星期就坏了。",
        "我已经打了三次电话,没有人帮助我。",
        "请把新的发票寄到我原来的地址。",
        "包裹按时送到了,可是盒子里没有电缆。",
        "总的来说我很满意,下次还会在这里买东西。",
        "可惜盖子盖不紧,水会漏出来。",
        "请问我的包裹什么时候能送到家里?",
        "充电的时候机器太热了,几乎不能用手碰。",
    ],
}
LANGUAGES = tuple(SENTENCES)
BRANDS = ["Amazon", "iPhone 15 Pro", "Philips", "USB-C", "Windows", "Bluetooth", "PayPal", "WhatsApp"]
LOAN_WORDS = [
    "the Zeitgeist",
    "a déjà vu",
    "the siesta",
    "my Doppelgänger",
    "a cappuccino",
    "the fiancée",
    "a matryoshka",
]
QUOTES = ["“Guten Tag”", "“merci beaucoup”", "“hasta luego”", "“buongiorno”", "“спасибо”", "“谢谢”"]
NAMES = [
    "José Ángel Núñez",
    "Jürgen Müller",
    "Łukasz Wiśniewski",
    "Siobhán Ó Briain",
    "Nguyễn Văn An",
    "Zoë van Dijk",
]


def in_language(draw: random.Random, code: str, chars: int) -> Sample:
    """A text of about so many characters in a language, some of them dressed as what comes in."""
    text = _joined(draw, SENTENCES[code], chars)
    chance = draw.random()
    if chance < 0.1:
        text = text.upper()
    elif chance < 0.2:
        text = f"{text} {draw.choice(BRANDS)}, {draw.choice(BRANDS)}!"
    elif chance < 0.3:
        text = f"<EMAIL> {text} https://example.org/en/help/contact?page=2"
    elif chance < 0.4:
        text = f"{text} {draw.randint(1, 31)}.{draw.randint(1, 12)}.2026, {draw.randint(100, 99_999)},90 €"
    return Sample(text, code)


def in_english(draw: random.Random, chars: int) -> Sample:
    """English that other languages stand in, or that is told by little: to be kept where English is wanted."""
    sort = draw.choice(
        ["prose", "loan words", "quotation", "names", "capitals", "numbers", "brands", "too short"]
    )
    text = prose(draw, chars)
    if sort == "too short":
        return Sample(
            draw.choice(
                ["ok", "Danke!", "12 345", "Prima.", "<EMAIL>", "https://example.de/hilfe", "sí", "да"]
            ),
            sort,
        )
    more = {
        "prose": "",
        "loan words": f"It was {draw.choice(LOAN_WORDS)}, or {draw.choice(LOAN_WORDS)}.",
        "quotation": f"The seller wrote {draw.choice(QUOTES)} and nothing else.",
        "names": f"Ask {draw.choice(NAMES)} or {draw.choice(NAMES)} about it.",
        "capitals": "",
        "numbers": f"Order {draw.randint(10_000, 99_999)}, {draw.randint(2, 99)} pieces at 45.90 EUR.",
        "brands": f"It runs with {draw.choice(BRANDS)} and {draw.choice(BRANDS)}.",
    }[sort]
    text = f"{text} {more}".strip()
    return Sample(text.upper() if sort == "capitals" else text, sort)


def _joined(draw: random.Random, sentences: list[str], chars: int) -> str:
    text = draw.choice(sentences)
    while len(text) < chars:
        text += f" {draw.choice(sentences)}"
    return text


# --- Quality

WORDS = ["so", "ha", "no", "very", "good", "test", "please", "help", "really", "bad"]
PHRASES = ["buy it now", "I do not know", "click here to win", "best price ever", "call me back"]
ITEMS = ["flour", "sugar", "butter", "eggs", "milk", "salt", "yeast", "rice", "beans", "oil", "tea", "honey"]


def _loop(draw: random.Random) -> str:
    unit = draw.choice([draw.choice(WORDS), draw.choice(PHRASES), prose(draw, 30).split(".")[0] + "."])
    start = prose(draw, draw.choice([0, 20, 40])) if draw.random() < 0.5 else ""
    return f"{start} {' '.join([unit] * draw.randint(8, 40))}".strip()


def _figures(draw: random.Random) -> str:
    return " ".join(
        draw.choice(
            [
                str(draw.randint(0, 99_999)),
                f"{draw.random():.3f}",
                "-",
                "|",
                "%",
                f"{draw.randint(1, 31)}/{draw.randint(1, 12)}",
            ]
        )
        for _ in range(draw.randint(8, 80))
    )


def _signs(draw: random.Random) -> str:
    return draw.choice(["-", "=", "*", "_ ", "? ", "! ", "~ . "]) * draw.randint(8, 60)


def _hashtags(draw: random.Random) -> str:
    tags = " ".join(f"#{draw.choice(ITEMS)}{draw.choice(WORDS)}" for _ in range(draw.randint(4, 20)))
    return f"{draw.choice(['New!', 'Look at this', 'Best day'])} {tags}"


def _dots(draw: random.Random) -> str:
    return " ".join(
        f"{draw.choice(WORDS)}{draw.choice(['...', '…', '....'])}" for _ in range(draw.randint(4, 20))
    )


DEFECTS: dict[str, Callable[[random.Random], str]] = {
    "too_few_words": lambda draw: draw.choice(
        ["ok", "?", "fine.", "see above", "n/a", "+1", "<EMAIL>", "no idea"]
    ),
    "too_few_letters": lambda draw: draw.choice([_figures, _signs])(draw),
    "too_many_symbols": lambda draw: draw.choice([_hashtags, _dots])(draw),
    "too_repetitive": _loop,
}
"""What breaks each rule."""


def _list(draw: random.Random) -> str:
    return ", ".join(f"{draw.randint(1, 9)} kg of {item}" for item in draw.sample(ITEMS, 6)) + "."


def _refrain(draw: random.Random) -> str:
    verse = [prose(draw, 70) for _ in range(3)]
    return f"{verse[0]} Oh, take me home. {verse[1]} Oh, take me home. {verse[2]} Oh, take me home."


def _prices(draw: random.Random) -> str:
    day, paid, pieces = (
        f"{draw.randint(1, 28)}/{draw.randint(1, 12)}",
        draw.randint(10, 99),
        draw.randint(2, 9),
    )
    return f"On {day}/2026 I paid {paid}.90 EUR for {pieces} of them, order {draw.randint(1_000, 9_999)}, and 1 came."


def _thread(draw: random.Random) -> str:
    return f"See issue #{draw.randint(1, 999)}: C# does not build... {prose(draw, 60)}"


LOOKALIKES: dict[str, Callable[[random.Random], str]] = {
    "short praise": lambda draw: draw.choice(
        ["Works very well.", "I love it!", "Not what I ordered", "Great, thank you all"]
    ),
    "list": _list,
    "refrain": _refrain,
    "prices and dates": _prices,
    "issue numbers": _thread,
    "prose": lambda draw: prose(draw, draw.choice([40, 300])),
    "said twice": lambda draw: f"{(said := prose(draw, 30))} I repeat: {said} {prose(draw, 120)}",
    "other script": lambda draw: " ".join(draw.sample(SENTENCES[draw.choice(["ru", "zh", "tr"])], 4)),
}
"""What only looks like it, and breaks none."""
