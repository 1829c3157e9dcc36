"""What sources of natural text are made of: sentences with offsets, link words, best spans by ROUGE-L."""

from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sentencex", reason="needs reasongym[text]")
pytest.importorskip("tokenizers", reason="needs reasongym[text]")

from reasongym.metrics.generated import words
from reasongym.tasks.links import Links, content_words
from reasongym.tasks.rouge import Words, best_span
from reasongym.tasks.sentences import sentences, units_of
from reasongym.tasks.tokens import Tokenizer, load_tokenizer
from reasongym.types import MAX_ENTITIES, Encoding, Encodings


def cut(text, unit_tokens=64):
    return [text[start:end] for start, end, _ in units_of([text], load_tokenizer(), unit_tokens)[0]]


def test_sentences_know_abbreviations_initials_and_decimal_points():
    text = "Dr. J. R. Smith came to the U.S. in 1990. He paid 3.5 million! Did he? “Yes,” said Zoë’s aunt.\n\nShe left"
    assert cut(text) == [
        "Dr. J. R. Smith came to the U.S. in 1990.",
        "He paid 3.5 million!",
        "Did he?",
        "“Yes,” said Zoë’s aunt.",
        "She left",
    ]


def test_what_is_no_sentence_goes_with_its_neighbour():
    assert cut("It rained.[citation needed] Then it stopped.:74 ... All went home.") == [
        "It rained.[citation needed]",
        "Then it stopped.:74 ...",
        "All went home.",
    ]


def test_a_long_sentence_is_cut_at_punctuation_near_its_middle_never_inside_a_number():
    text = "the old man went out to sea, and the boy stayed behind with 7.5 pounds of fish"
    assert cut(text, 14) == ["the old man went out to sea,", "and the boy stayed behind with 7.5 pounds of fish"]
    assert cut("one two three four five six seven eight", 5) == ["one two three four", "five six seven eight"]
    assert cut("it was 8.0 or 7.9 then", 5) == ["it was 8.0", "or 7.9 then"]


def test_a_word_that_is_longer_than_a_unit_is_cut_between_its_tokens():
    text = "Donaudampfschifffahrtsgesellschaftskapitän"
    pieces = cut(text, 4)
    assert "".join(pieces) == text
    assert len(pieces) > 2
    with pytest.raises(ValueError, match=r"unit_tokens=0 is too few for this tokenizer: 'a' alone has 1 tokens"):
        units_of(["a"], load_tokenizer(), 0)


TEXTS = st.text(st.sampled_from("aB1 .,;!?\"'()[]—\n\té漢\U0001f600\u0301\u200b-x y z The"), max_size=200)


@settings(deadline=None)
@given(TEXTS | st.text(max_size=60), st.integers(1, 9))
def test_units_are_parts_of_the_text_in_order_and_cover_it(text, unit_tokens):
    tokenizer = load_tokenizer()
    places = units_of([text], tokenizer, unit_tokens)[0]
    end_before = 0
    for start, end, encoding in places:
        assert encoding == tokenizer.encode(text[start:end])
        assert not tokenizer.encode(text[end_before:start].strip()).ids, "something to read was left out"
        assert 0 < len(tokenizer.encode(text[start:end])) <= unit_tokens
        assert text[start:end] == text[start:end].strip()
        end_before = end
    assert not tokenizer.encode(text[end_before:]).ids
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(places))


@settings(deadline=None)
@given(
    st.lists(
        TEXTS
        | st.text(max_size=40)
        | st.sampled_from(["[UNK]", "a [PAD]b", "x\x1cy", " ", "", "İΣ ß", "w" * 120, "don't\\[a-b_c]~.", "5€+3°"]),
        max_size=6,
    )
)
def test_texts_put_together_from_words_are_as_the_library_cuts_them(texts):
    shipped = load_tokenizer()
    library = Tokenizer("the same", shipped._backend)
    assert shipped.encode_all(texts) == library.encode_all(texts)


def test_words_are_forgotten_when_there_are_too_many(monkeypatch):
    shipped = load_tokenizer()
    fresh, library = pickle.loads(pickle.dumps(shipped)), Tokenizer("the same", shipped._backend)
    monkeypatch.setattr("reasongym.tasks.tokens.WORDS_KEPT", 5)
    for number in range(8):
        texts = [f"w{number} the w{number + i} sea" for i in range(3)]
        assert fresh.encode_all(texts) == library.encode_all(texts)
        assert max(len(fresh._words._words._index), len(fresh._words._atoms._index)) <= 5
    many = [" ".join(f"w{i}" for i in range(20))]
    assert fresh.encode_all(many) == library.encode_all(many)


def test_many_encodings_are_parts_and_sums_of_themselves():
    some = [Encoding((5, 6), (0, 2), (1, 4)), Encoding((), (), ()), Encoding((7,), (3,), (9,))]
    every = Encodings.of(some)
    assert (len(every), every.first.tolist(), every.ids.tolist()) == (3, [0, 2, 2, 3], [5, 6, 7])
    part = every[1:] + every[:1]
    assert (part.first.tolist(), part.ids.tolist(), part.starts.tolist()) == ([0, 0, 1, 3], [7, 5, 6], [3, 0, 2])
    assert len(Encodings.of([])) == 0


@given(TEXTS | st.text(max_size=80))
def test_sentences_leave_out_white_space_only(text):
    places = sentences(text)
    covered = [i for start, end in places for i in range(start, end)]
    assert all(text[i].isspace() for i in set(range(len(text))) - set(covered))
    assert covered == sorted(set(covered))


def test_link_words_are_shared_content_words():
    assert content_words("The 2 foxes' cakes were baked in 1898; he's making it.") == {"2", "fox", "cak", "bak", "1898", "mak"}
    units = ["The fox baked a cake.", "The hare wept.", "The hare ate the fox's cakes.", "It rained."]
    questions = ["Who was baking?", "Why did the hare weep in Paris?"]
    told, asked = Links().masks([(units, questions)])[0]
    fox_cake = told[0] & told[2]
    assert fox_cake.bit_count() == 2
    assert (told[0] & asked[0]).bit_count() == 1
    assert told[1] & told[2] == told[1] & asked[1] != 0
    assert told[3] == 0
    assert (told[0] | told[1] | told[2]).bit_count() == 4, "bake, hare, fox, cake; Paris links nothing"


def test_more_words_than_bits_keep_those_of_every_question():
    names = [f"name{i}" for i in range(100)]
    units = [f"{name} and {other}." for name, other in itertools.pairwise([*names, names[0]])]
    questions = [f"Who is {name}?" for name in names[40:]]
    told, asked = Links().masks([(units, questions)])[0]
    assert all(mask.bit_count() == 1 for mask in asked)
    assert max(*told, *asked) < 1 << MAX_ENTITIES
    some, other = Links().masks([(units, questions[:3]), ([], []), (units[:1], questions[:3])])[::2]
    assert all(mask.bit_count() == 1 for mask in some[1])
    assert Links().masks([(units[:1], questions[:3])]) == [other], "a story's bits are its own"


def rouge_l(prediction, reference):
    """By the definition: the longest list of words that is a subsequence of both."""
    longest = 0
    for size in range(min(len(prediction), len(reference)), 0, -1):
        if set(itertools.combinations(prediction, size)) & set(itertools.combinations(reference, size)):
            longest = size
            break
    return 2 * longest / (len(prediction) + len(reference)) if prediction and reference else 0.0


WORDS = st.lists(st.sampled_from("the fox ate a cake".split()), max_size=6)


@settings(deadline=None)
@given(WORDS, st.lists(WORDS, max_size=2), st.integers(0, 5))
def test_the_best_span_is_the_best_of_all_spans(unit, references, max_length):
    text = " ".join(unit)
    encoding = load_tokenizer().encode(text)
    assert len(encoding) == len(unit), "each of these words is one token"
    score, first, last = best_span(Words.of(text, encoding), [tuple(reference) for reference in references], max_length)
    spans = [unit[i : j + 1] for i in range(len(unit)) for j in range(i, min(len(unit), i + max_length + 1))]
    assert score == pytest.approx(max((rouge_l(span, r) for span in spans for r in references), default=0.0))
    if score:
        assert last - first <= max_length
        assert max(rouge_l(unit[first : last + 1], r) for r in references) == pytest.approx(score)


def test_words_are_runs_of_ascii_letters_and_digits_and_know_their_tokens():
    assert tuple(words("Don't say “Café-1”!")) == ("don", "t", "say", "caf", "1")
    text = "İt's Rumpelstiltskin!"
    encoding = load_tokenizer().encode(text)
    found = Words.of(text, encoding)
    assert found.words == ("t", "s", "rumpelstiltskin")
    first, last = found.first[2], found.last[2]
    assert text[encoding.starts[first] : encoding.ends[last]] == "Rumpelstiltskin"
