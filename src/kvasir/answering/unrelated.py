"""How an embedder scores texts that have nothing to do with each other.

Cosines of unrelated texts are near 0 in some models and above 0.7 in others, and they spread by a
model's own measure. A difference of scores within that spread says nothing. The texts are fixed, so
the figures depend on the embedder alone, not on a collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kvasir.core.protocols import Embedder

UNRELATED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("When does the swimming pool open?", "The pool opens at seven on weekdays."),
        ("Who painted the ceiling of the chapel?", "A pupil of the master painted the ceiling."),
        ("How is the oil filter replaced?", "Loosen the bolt and pull the oil filter out."),
        ("What is the capital of Peru?", "Lima has been Peru's capital since 1821."),
        ("Why do leaves turn red in autumn?", "Leaves lose their green pigment when it gets cold."),
        ("Which port does the database use?", "The server listens on port 5432 by default."),
    ),
    "es": (
        ("¿Cuándo abre la piscina?", "La piscina abre a las siete entre semana."),
        ("¿Quién pintó el techo de la capilla?", "Un alumno del maestro pintó el techo."),
        ("¿Cómo se cambia el filtro de aceite?", "Afloje el tornillo y saque el filtro."),
        ("¿Cuál es la capital de Perú?", "Lima es la capital del Perú desde 1821."),
        ("¿Por qué enrojecen las hojas?", "Las hojas pierden su pigmento verde con el frío."),
    ),
    "de": (
        ("Wann öffnet das Schwimmbad?", "Das Bad öffnet werktags um sieben Uhr."),
        ("Wer malte die Decke der Kapelle?", "Ein Schüler des Meisters malte die Decke."),
        ("Wie wechselt man den Ölfilter?", "Die Schraube lösen und den Filter abziehen."),
        ("Was ist die Hauptstadt von Peru?", "Lima ist seit 1821 die Hauptstadt Perus."),
        ("Warum werden Blätter rot?", "Blätter verlieren bei Kälte ihr grünes Pigment."),
    ),
    "fr": (
        ("Quand ouvre la piscine ?", "La piscine ouvre à sept heures en semaine."),
        ("Qui a peint le plafond de la chapelle ?", "Un élève du maître a peint le plafond."),
        ("Comment changer le filtre à huile ?", "Desserrez la vis et retirez le filtre."),
        ("Quelle est la capitale du Pérou ?", "Lima est la capitale du Pérou depuis 1821."),
        ("Pourquoi les feuilles rougissent-elles ?", "Le froid fait perdre leur pigment vert."),
    ),
    "zh": (
        ("游泳池几点开门？", "游泳池工作日七点开门。"),
        ("谁画了教堂的天花板？", "大师的一名学生画了天花板。"),
        ("怎样更换机油滤清器？", "松开螺栓，取出滤清器。"),
        ("秘鲁的首都是哪里？", "自1821年以来，利马是秘鲁的首都。"),
        ("秋天树叶为什么变红？", "天气变冷时树叶失去绿色色素。"),
    ),
}
"""Questions with their passages, by ISO 639-1 code; any two lines of a language are unrelated."""


@dataclass(frozen=True, slots=True)
class UnrelatedCosines:
    """The distribution of an embedder's cosines of unrelated questions and passages.

    Attributes:
        mean: Their mean, -1..1.
        deviation: Their standard deviation.
    """

    mean: float
    deviation: float


def measure_unrelated(embedder: Embedder) -> UnrelatedCosines:
    """Embed the shipped texts, in the languages of the model, and return how their cosines lie.

    Each question is compared with the passages of the other questions in its language. A model
    without a list of languages, and a multilingual one, is measured in all of them.

    Raises:
        ComponentError: Embedding failed.
    """
    listed = [code for code in UNRELATED if code in embedder.languages]
    pairs = [pair for code in listed or UNRELATED for pair in UNRELATED[code]]
    groups = np.repeat(
        np.arange(len(listed or UNRELATED)), [len(UNRELATED[c]) for c in listed or UNRELATED]
    )
    questions = embedder.embed_queries([question for question, _ in pairs])
    passages = embedder.embed_documents([passage for _, passage in pairs])
    cosines = np.asarray(questions, np.float64) @ np.asarray(passages, np.float64).T
    compared = (groups[:, None] == groups[None, :]) & ~np.eye(len(pairs), dtype=bool)
    found = cosines[compared]
    return UnrelatedCosines(float(found.mean()), float(found.std()))
