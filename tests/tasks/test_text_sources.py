"""SQuAD, FairytaleQA and NarrativeQA from files in their published layouts: content, splits, faults, cache.

The last group reads the real files: `REASONGYM_DATA` is a folder with `squad`, `fairytaleqa` and `narrativeqa` in it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from texts import (
    QUESTIONS,
    RIVERS,
    SEAS,
    STORY,
    squad,
    table,
    write_json,
    write_narratives,
    write_tale,
)

pytest.importorskip("sentencex", reason="needs reasongym[text]")
pytest.importorskip("tokenizers", reason="needs reasongym[text]")

from reasongym.errors import DataError, UnknownNameError
from reasongym.seeding import BUCKETS, story_bucket
from reasongym.tasks import fairytaleqa, narrativeqa, squad2
from reasongym.tasks.columns import DTYPES, SPAN_DTYPES, columns_of
from reasongym.tasks.passages import Asked, Passage, Units
from reasongym.tasks.tokens import load_tokenizer
from reasongym.tasks.weak_support import WeakSupport
from reasongym.types import SpanSource

LOADERS = {"squad2": squad2.load, "fairytaleqa": fairytaleqa.load, "narrativeqa": narrativeqa.load}


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("REASONGYM_CACHE", "")


@pytest.fixture
def small(tmp_path):
    """A function that writes a data set's small files and returns the path."""

    def write(dataset):
        if dataset == "squad2":
            write_json(tmp_path / "squad2" / "train-v2.0.json", squad())
            write_json(tmp_path / "squad2" / "dev-v2.0.json.gz", squad(titles=("Rhine",)))
        elif dataset == "fairytaleqa":
            write_tale(tmp_path / dataset, "fox")
            write_tale(tmp_path / dataset, "hare", part="val")
        else:
            write_narratives(tmp_path / dataset)
        return tmp_path / dataset

    return write


def assert_same_columns(a, b):
    assert (a.sentences, a.questions, a.references) == (b.sentences, b.questions, b.references)
    for name, dtype in {**DTYPES, **SPAN_DTYPES}.items():
        assert getattr(a, name).dtype == getattr(b, name).dtype == dtype, name
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# What all have in common


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("dataset", LOADERS)
def test_the_contract_of_a_source(dataset, split, small):
    source = LOADERS[dataset](source=small(dataset), split=split, unit_tokens=12)
    assert isinstance(source, SpanSource)
    assert (source.name, source.split, source.skipped) == (f"{dataset}/published/{split}", split, 0)
    assert (source.choices, source.kinds, source.choice_kinds) == ((), ("span",), ())
    assert source.max_units == max(source.problem(i).num_units for i in range(source.num_problems))
    with pytest.raises(ValueError, match="is no choice"):
        source.choice_of("fox")
    problems = [source.problem(i) for i in range(source.num_problems)]
    for i, problem in enumerate(problems):
        story = problem.story
        assert problem.name == f"{dataset}/{split}/{i}"
        assert len(story.units) == problem.num_units
        assert list(story.offsets) == sorted(set(story.offsets))
        assert all(0 < len(source.encode(unit)) <= 12 for unit in story.units)
        assert source.tokenize(problem.question) == list(source.encode(problem.question).ids)
        assert 0 < len(source.tokenize(problem.question)) <= source.question_tokens
        assert max(source.tokenize(problem.question)) <= len(source.vocabulary)
        assert all(0 <= unit < problem.num_units for unit in problem.support or ())
        assert max(*story.entities, problem.question_entities) < 1 << len(source.entities)
        json.dumps(dict(problem.meta))
    assert problems[0].story is problems[1].story
    assert_same_columns(source.columns(), columns_of(problems, source))
    copied = pickle.loads(pickle.dumps(source))
    assert [copied.problem(i) for i in range(len(problems))] == problems
    with pytest.raises(IndexError, match=f"which has the problems 0 to {len(problems) - 1}"):
        source.problem(len(problems))


@pytest.mark.parametrize("dataset", LOADERS)
def test_without_annotation_nothing_tells_the_answer(dataset, small):
    path = small(dataset)
    shown, source = LOADERS[dataset](source=path), LOADERS[dataset](source=path, annotation=False)
    for i in range(shown.num_problems):
        problem = source.problem(i)
        assert (problem.answers, problem.support, problem.prerequisites) == ((), None, ())
        assert not {"answer_start", "plausible", "sections"} & set(problem.meta)
        assert problem.story == shown.problem(i).story
        assert problem.question_entities == shown.problem(i).question_entities
    columns = source.columns()
    assert not columns.references
    assert not columns.support_known.any()
    assert_same_columns(columns, columns_of(map(source.problem, range(shown.num_problems)), source))


@pytest.mark.parametrize("dataset", LOADERS)
def test_numbers_of_problems_shapes_and_names(dataset, small):
    load, path = LOADERS[dataset], small(dataset)
    whole, first = load(source=path), load(source=path, num_problems=1)
    assert first.num_problems == 1
    assert first.problem(0) == whole.problem(0)
    assert len(first.columns().reference_start) == 2
    assert load(source=path, num_problems=None).num_problems == whole.num_problems
    assert load(source=path, max_answer_length=4).spans.max_length == 4
    assert load(source=path).fingerprint == whole.fingerprint != load(source=path, unit_tokens=12).fingerprint
    with pytest.raises(DataError, match=r"a question of \d+ tokens, expected 1 to 3: pass question_tokens=\d+"):
        load(source=path, question_tokens=3)
    with pytest.raises(DataError, match=r"no question falls into the split 'train' with difficulty={'max_units': 1}"):
        load(source=path, difficulty={"max_units": 1})
    with pytest.raises(UnknownNameError, match=r"unknown split 'valid': did you mean 'validation'"):
        load(source=path, split="valid")
    with pytest.raises(ValueError, match="exists for source='procedural' only"):
        load(source=path, split="ood")
    with pytest.raises(UnknownNameError, match=r"unknown knob of difficulty 'max_unit': did you mean 'max_units'"):
        load(source=path, difficulty={"max_unit": 3})
    with pytest.raises(UnknownNameError, match=r"unknown difficulty 'easy': .*known: published"):
        load(source=path, difficulty="easy")
    for wrong in ({"num_problems": 0}, {"unit_tokens": 0}, {"max_answer_length": -1}, {"difficulty": {"max_units": 0}}):
        with pytest.raises(ValueError, match="must be at least"):
            load(source=path, **wrong)
    with pytest.raises(TypeError, match=r"unit_tokens must be a whole number, got '64' \(str\)"):
        load(source=path, unit_tokens="64")
    for missing in ("nowhere", "procedural"):
        with pytest.raises(DataError, match=r"no (SQuAD|FairytaleQA|NarrativeQA) data at '.*': expected a "):
            load(source=missing)


@pytest.mark.parametrize("dataset", LOADERS)
def test_the_cache_gives_back_what_was_built_and_is_mended(dataset, small, tmp_path, monkeypatch):
    monkeypatch.setenv("REASONGYM_CACHE", str(tmp_path / "cache"))
    load, path = LOADERS[dataset], small(dataset)
    built = load(source=path)
    (entry,) = (tmp_path / "cache").iterdir()
    assert entry.name.startswith(f"{dataset}-")
    with monkeypatch.context() as patched:
        patched.setattr("reasongym.tasks.text_source.build", None)  # nothing is built
        again = load(source=path)
    assert_same_columns(built.columns(), again.columns())
    assert [built.problem(i) for i in range(2)] == [again.problem(i) for i in range(2)]
    entry.write_bytes(entry.read_bytes()[:500])
    assert_same_columns(built.columns(), load(source=path).columns())
    with monkeypatch.context() as patched:
        patched.setattr("reasongym.tasks.text_source.build", None)
        load(source=path, annotation=False, num_problems=1)  # the same entry, mended


# SQuAD


def at(problem, text):
    """The text that stands where the problem's units say it does."""
    return [text[o : o + len(unit)] for o, unit in zip(problem.story.offsets, problem.story.units, strict=True)]


def test_squad_questions_as_published(small):
    source = squad2.load(source=small("squad2"))
    first, impossible, crossing, seas = (source.problem(i) for i in range(4))
    assert first.question == "Where does the Elbe rise?"
    assert first.story.units[0] == "The Elbe rises in the Giant Mountains."
    assert tuple(at(first, RIVERS)) == first.story.units
    assert first.answers == ("the Giant Mountains", "Giant Mountains"), "what most annotators gave comes first"
    assert first.support == (0,)
    assert dict(first.meta) == {"title": "Elbe", "id": "Elbe-1", "answer_start": [18, 22]}
    assert (impossible.answers, impossible.support) == ((), ())
    assert impossible.meta["plausible"] == ["Giant Mountains"]
    assert crossing.support == (1, 2)
    assert (seas.story.units, seas.support) == (("The North Sea is shallow.", "It is 970 kilometres long."), (1,))
    assert tuple(at(seas, SEAS)) == seas.story.units
    assert seas.question_entities & seas.story.entities[0]
    assert (source.num_problems, source.spans.metric, source.spans.right_at) == (4, "f1", 1.0)


def test_a_long_sentence_is_split_and_support_follows(small):
    source = squad2.load(source=small("squad2"), unit_tokens=12)
    problem = source.problem(2)
    assert tuple(at(problem, RIVERS)) == problem.story.units
    text = RIVERS[problem.story.offsets[problem.support[0]] :]
    assert "Cuxhaven.[citation needed] Dr. Weber" in text
    assert problem.story.units[problem.support[0]].endswith("Cuxhaven.[citation needed]")


def test_which_files_are_which_split(tmp_path):
    train, dev = squad("1.1", ("A", "B")), squad(titles=("C",))
    folder = tmp_path / "both"
    paths = [write_json(folder / "train-v1.1.json.gz", train), write_json(folder / "dev-v2.0.json", dev)]

    def titles(source, split):
        read = squad2.load(source=source, split=split)
        return {read.problem(i).meta["title"] for i in range(read.num_problems)}

    for both in (folder, paths, os.pathsep.join(paths), {"train": paths[0], "validation": [paths[1]]}):
        assert titles(both, "train") == {"A", "B"}
        assert titles(both, "validation") == {"C"}
    assert titles({"validation": paths[0]}, "validation") == {"A", "B"}
    assert titles(paths[1], "validation") == {"C"}
    with pytest.raises(DataError, match=r"no files for the split 'train': files named dev\* are for validation; source="):
        squad2.load(source=paths[1], split="train")
    with pytest.raises(DataError, match=r"no files for the split 'test': it needs a file named test\*"):
        squad2.load(source=folder, split="test")
    write_json(folder / "test-v2.0.json", squad(titles=("T",)))
    assert titles(folder, "test") == {"T"}
    write_json(folder / "train-v2.0.json", squad(titles=("D",)))
    assert titles(folder, "train") == {"D"}, "of two versions in one folder the newer one"
    write_json(folder / "train-v2.0.json.gz", squad(titles=("D",)))
    write_json(folder / "train-mine.json", squad(titles=("E",)))
    assert titles(folder, "train") == {"D", "E"}
    (folder / "train-mine.json").unlink()
    write_json(folder / "train-v3.0.partial.json", squad(titles=("P",)))
    assert titles(folder, "train") == {"D"}
    with pytest.raises(DataError, match="holds a part of its set only: pass allow_partial=True"):
        squad2.load(source=folder / "train-v3.0.partial.json")
    with pytest.raises(UnknownNameError, match="unknown split in source 'valid'"):
        squad2.load(source={"valid": paths[0]})


def test_train_files_alone_are_divided_by_article(tmp_path):
    titles = tuple(f"title {i}" for i in range(60))
    train = write_json(tmp_path / "train-v2.0.json", squad(titles=titles[:50]))
    dev = write_json(tmp_path / "dev-v2.0.json", squad(titles=titles[50:]))
    for source in ({"train": [train, dev]}, train, tmp_path / "mine.json"):
        if not isinstance(source, dict | str):
            shutil.copy(train, source)
        sides = []
        for split in ("train", "validation"):
            read = squad2.load(source=source, split=split)
            sides.append({read.problem(i).meta["title"] for i in range(read.num_problems)})
        assert not sides[0] & sides[1]
        assert sides[0] | sides[1] == set(titles if isinstance(source, dict) else titles[:50])
        assert all(story_bucket(title) in BUCKETS["validation"] for title in sides[1])


def broken(change):
    content = squad()
    change(content["data"][0]["paragraphs"])
    return content


def first(paragraphs):
    return paragraphs[0]["qas"][0]


SQUAD_FAULTS = [
    (lambda p: p[0].pop("context"), r"article 1 \(Elbe\), paragraph 1: the key 'context' is missing; there are 'qas'", 3),
    (lambda p: p[1].update(context=" "), r"paragraph 2: 'context' must be a text that is not empty, got ' '", 1),
    (
        lambda p: p[1].update(context="\u200b", qas=p[0]["qas"][1:2]),
        "question 1 .*: plausible_answers: the text 'Giant Mountains' does not stand",
        1,
    ),
    (lambda p: p[1].update(qas={}), r"paragraph 2: 'qas' must be a list, got {}", 1),
    (lambda p: p.append(["context"]), r"paragraph 3: expected an object with the key 'context', got \['context'\]", 0),
    (lambda p: first(p).pop("id"), r"paragraph 1, question 1: the key 'id' is missing", 1),
    (lambda p: first(p).update(id=7), r"question 1: 'id' must be a text that is not empty, got 7", 1),
    (lambda p: first(p).update(question="\t"), r"question 1 \(id Elbe-1\): 'question' must be a text", 1),
    (lambda p: first(p).update(question="\u200b"), r"question 1 \(id Elbe-1\): a question of 0 tokens, expected 1 to 80", 1),
    (lambda p: first(p).update(question="word " * 81), "a question of 81 tokens, expected 1 to 80: pass question_tokens=81", 1),
    (lambda p: first(p).update(question="\ud800?"), "'question' holds half of a surrogate pair", 1),
    (lambda p: first(p).update(is_impossible="no"), "is_impossible must be true or false, got 'no'", 1),
    (lambda p: first(p).update(is_impossible=True), "is_impossible is true, but there are 3 answers", 1),
    (lambda p: p[1]["qas"][0].update(answers=[]), "question 1 .*: is_impossible is false, but there are 0 answers", 1),
    (lambda p: first(p)["answers"][1].update(answer_start=19), "'the Giant Mountains' does not stand at answer_start 19", 1),
    (lambda p: first(p)["answers"][1].update(answer_start=-3), "does not stand at answer_start -3", 1),
    (lambda p: first(p)["answers"][1].update(answer_start=1e9), "answer_start must be a whole number, got 1000000000.0", 1),
    (lambda p: first(p)["answers"][1].update(answer_start=True), "answer_start must be a whole number, got True", 1),
    (lambda p: first(p)["answers"][1].update(text=None), "'text' must be a text that is not empty, got None", 1),
    (lambda p: first(p).update(answers=["Elbe"]), "expected an object with the key 'text', got 'Elbe'", 1),
    (lambda p: p[1]["qas"].append(first(p)), "question 2 .*does not stand at", 0),
    (lambda p: p[0]["qas"].append(first(p)), r"question 4 \(id Elbe-1\): the same id stands at .* question 1 ", 0),
]


@pytest.mark.parametrize(("change", "message", "lost"), SQUAD_FAULTS)
def test_broken_squad_records_are_named_or_left_out(change, message, lost, tmp_path):
    path = write_json(tmp_path / "dev-v2.0.json", broken(change))
    with pytest.raises(DataError, match=message):
        squad2.load(source=path, split="validation")
    with pytest.warns(UserWarning, match="broken records left out of squad2/.*: 1; the first: .*dev-v2.0.json"):
        source = squad2.load(source=path, split="validation", strict=False)
    assert (source.skipped, source.num_problems) == (1, 4 - lost)


def test_texts_that_cannot_be_an_episode(tmp_path, monkeypatch):
    nothing = squad("1.1")
    nothing["data"][0]["paragraphs"][0] = {
        "context": "\u200b\u200b",
        "qas": [{"id": "x", "question": "Why?", "answers": [{"text": "\u200b", "answer_start": 0}]}],
    }
    path = write_json(tmp_path / "dev.json", nothing)
    with pytest.raises(DataError, match=r"paragraph 1: the text holds nothing to read"):
        squad2.load(source=path, split="validation")
    monkeypatch.setattr("reasongym.tasks.passages.MAX_UNITS", 2)
    path = write_json(tmp_path / "dev.json", squad())
    with pytest.raises(DataError, match=r"paragraph 1: the text has 3 units of at most 64 tokens; an episode can have 2"):
        squad2.load(source=path, split="validation")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is no JSON \(cut short or broken\)"),
        (json.dumps(squad()).encode()[:-9], r"is no JSON \(cut short or broken\)"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"version": "v2.0", "data": {}}', "is no SQuAD file: expected {'version': ..., 'data': "),
        (b"[]", "is no SQuAD file"),
        (b'{\n"data": "\xff"}', r"line 2: not UTF-8 text"),
        (gzip.compress(json.dumps(squad()).encode())[:-20], r"is no whole gzip file \(cut short or broken\)"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_broken_squad_file_is_never_skipped(content, message, strict, tmp_path):
    (tmp_path / "train-v2.0.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"train-v2.0.json.*{message}"):
        squad2.load(source=tmp_path, strict=strict)


def test_a_folder_without_squad_files_says_what_it_has(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"no SQuAD files in .*looked for names such as train-v2.0.json .*found notes.txt"):
        squad2.load(source=tmp_path)


def attempt(load, **arguments):
    """The source and "", or None and what the error says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load(**arguments), ""
        except DataError as error:
            return None, str(error)


ANYTHING = st.none() | st.booleans() | st.integers(-3, 40) | st.text(max_size=5) | st.just([]) | st.just({}) | st.just([{}])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_in_a_squad_file_loads_or_is_named(tmp_path, data):
    content = squad(titles=("Elbe", "Oder"))
    node = content
    for _ in range(data.draw(st.integers(1, 8))):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key]:
            break
        parent, node = node, node[key]
    else:
        node, key = parent, key
    node[key] = data.draw(ANYTHING)
    path = write_json(tmp_path / "dev.json", content)
    for strict in (True, False):
        source, fault = attempt(squad2.load, source=path, split="validation", strict=strict)
        assert "dev.json" in fault or "no question falls" in fault or source.num_problems
        assert all(source.problem(i).num_units for i in range(source.num_problems if source else 0))


# FairytaleQA


def test_fairytale_questions_as_published(small):
    source = fairytaleqa.load(source=small("fairytaleqa"))
    live, feel, did = (source.problem(i) for i in range(3))
    text = "\n\n".join(section for _, section in STORY[1:])
    assert tuple(at(live, text)) == live.story.units
    assert live.story.units == (
        "Once there was a fox.",
        "He lived\nin a green wood.",
        '"Good day," said the hare.',
        "The fox ate a cake.",
        "The hare wept bitterly.",
        "Then it rained",
        "At last the fox baked a new cake for the hare.",
    ), "no unit crosses a section"
    assert (live.answers, live.support) == (("in a green wood", "a wood"), (1,))
    assert dict(live.meta) == {
        "tale": "fox",
        "id": "1",
        "form": "explicit",
        "kind": "setting",
        "scope": "local",
        "sections": [1],
    }
    assert feel.answers == ("sad", "unhappy")
    assert feel.support == (4,), "no unit is close to the answer: the one closest to the question"
    assert did.support == (3, 6), "a unit of each section"
    assert source.spans.metric == "rouge_l"


def test_fairytale_questions_by_form_kind_and_scope(small):
    path = small("fairytaleqa")

    def ids(**knobs):
        source = fairytaleqa.load(source=path, difficulty=knobs)
        return [source.problem(i).meta["id"] for i in range(source.num_problems)]

    assert ids(form="implicit") == ["2"]
    assert ids(form="explicit") == ["1", "3"]
    assert ids(form="explicit", scope="local", max_units=7) == ["1"]
    assert ids(kind="action") == ["3"]
    with pytest.raises(DataError, match=r"no question falls into the split 'train' with difficulty={'kind': 'prediction'}"):
        ids(kind="prediction")
    with pytest.raises(UnknownNameError, match=r"unknown value of difficulty\['form'\] 'implict': did you mean 'implicit'"):
        ids(form="implict")


def test_a_fairytale_archive_reads_like_its_folder(small, tmp_path):
    folder = small("fairytaleqa")
    with tarfile.open(tmp_path / "train-val.tar.gz", "w:gz") as archive:
        archive.add(folder / "fairytaleqa", "fairytaleqa")
    whole = fairytaleqa.load(source=tmp_path / "train-val.tar.gz")
    assert_same_columns(whole.columns(), fairytaleqa.load(source=folder).columns())
    assert whole.fingerprint == fairytaleqa.load(source=folder).fingerprint
    (tmp_path / "archives").mkdir()
    shutil.copy(tmp_path / "train-val.tar.gz", tmp_path / "archives")
    assert fairytaleqa.load(source=tmp_path / "archives").fingerprint == whole.fingerprint
    with pytest.raises(DataError, match=r"no files of FairytaleQA's part 'test': .*found the parts train, val"):
        fairytaleqa.load(source=folder, split="test")
    cut_short = tmp_path / "cut.tar.gz"
    cut_short.write_bytes((tmp_path / "train-val.tar.gz").read_bytes()[:-100])
    with pytest.raises(DataError, match="is no whole tar archive"):
        fairytaleqa.load(source=cut_short)


def test_a_section_may_go_on_in_the_next_row(tmp_path):
    story = [*STORY[:2], (1, "It was night."), *STORY[2:]]
    plain = [STORY[0], (1, STORY[1][1] + "\n\nIt was night."), *STORY[2:]]
    read = [fairytaleqa.load(source=write_tale(tmp_path / str(i), story=s)) for i, s in enumerate((story, plain))]
    assert_same_columns(read[0].columns(), read[1].columns())


def with_row(number, **changes):
    rows = [dict(zip(QUESTIONS[0], row, strict=True)) for row in QUESTIONS]
    rows[number].update(changes)
    return [tuple(row.values()) for row in rows]


FAIRYTALE_FAULTS = [
    ({"questions": with_row(2, cor_section="9")}, r"questions.csv, row 3 \(line 3\): cor_section '9' must name sections", 1),
    ({"questions": with_row(2, cor_section="1;2")}, r"row 3 .*cor_section '1;2' must name sections of the tale", 1),
    ({"questions": with_row(1, question=" ")}, r"row 2 .*the question is empty", 1),
    ({"questions": with_row(2, answer1="", answer2=" ")}, r"row 3 .*every answer is empty", 1),
    ({"questions": with_row(3, attribute1="weather")}, r"row 4 .*attribute1 must be one of action, .*, got 'weather'", 1),
    ({"questions": with_row(3, **{"ex-or-im1": ""})}, r"row 4 .*ex-or-im1 must be one of explicit, implicit, got ''", 1),
    ({"questions": with_row(0, question="query")}, r"questions.csv, row 1: the columns question are missing", 3),
    ({"questions": table(QUESTIONS) + "5,local\n"}, r"row 5 \(line 5\): expected 14 fields, got 2", 0),
    ({"questions": table(QUESTIONS)[:-30] + '"cut'}, r"questions.csv, line \d: no CSV \(cut short or broken\)", 3),
    ({"questions": b""}, r"questions.csv, row 1: the columns .* are missing: .*got an empty file", 3),
    ({"questions": table(QUESTIONS).encode("utf-16")}, r"questions.csv, line 1: not UTF-8 text", 3),
    ({"story": table(STORY).replace("fox", "ch\xe2teau").encode("latin-1")}, r"story.csv, line 2: not UTF-8 text", 3),
    (
        {"story": [*STORY, (1, "Again.")]},
        r"story.csv, row 5 .*: section must be a number that no earlier .*, got '1'",
        3,
    ),
    ({"story": [*STORY, ("four", "Again.")]}, r"row 5 .*: section must be a number .* got 'four'", 3),
    ({"story": [*STORY, (4, " ")]}, r"row 5 .*: section 4 has no text", 3),
    ({"story": STORY[:1]}, r"story.csv holds no section", 3),
    ({"story": [("number", "text"), (1, "A fox.")]}, r"story.csv, row 1: the columns section are missing", 3),
]


@pytest.mark.parametrize(("files", "message", "lost"), FAIRYTALE_FAULTS)
def test_broken_tales_are_named_or_left_out(files, message, lost, tmp_path):
    write_tale(tmp_path, "whole")
    write_tale(tmp_path, "broken", **files)
    with pytest.raises(DataError, match=f"broken-.*{message}"):
        fairytaleqa.load(source=tmp_path)
    with pytest.warns(UserWarning, match="broken records left out of fairytaleqa/published/train: 1; the first: .*broken-"):
        source = fairytaleqa.load(source=tmp_path, strict=False)
    assert (source.skipped, source.num_problems) == (1, 6 - lost)


def test_a_byte_order_mark_is_no_fault_and_a_lone_file_is_one(tmp_path):
    write_tale(tmp_path, questions=b"\xef\xbb\xbf" + table(QUESTIONS).encode())
    assert fairytaleqa.load(source=tmp_path).num_problems == 3
    (tmp_path / "fairytaleqa" / "section-stories" / "train" / "fox-story.csv").unlink()
    with pytest.raises(DataError, match=r"fox-questions.csv stands alone: there is no fox-story.csv of the part 'train'"):
        fairytaleqa.load(source=tmp_path)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_anywhere_in_a_tale_load_or_are_named(tmp_path, data):
    files = {"story": table(STORY).encode(), "questions": table(QUESTIONS).encode()}
    name = data.draw(st.sampled_from(sorted(files)))
    start = data.draw(st.integers(0, len(files[name])))
    end = data.draw(st.integers(start, len(files[name])))
    instead = data.draw(st.binary(max_size=6) | st.sampled_from([b'"', b",", b"\n", b"\r", b"\x00"]))
    files[name] = files[name][:start] + instead + files[name][end:]
    write_tale(tmp_path, **files)
    for strict in (True, False):
        source, fault = attempt(fairytaleqa.load, source=tmp_path, strict=strict)
        assert "fox" in fault or "no question falls" in fault or source.num_problems
        assert all(source.problem(i).support for i in range(source.num_problems if source else 0))


# NarrativeQA


def test_narrative_questions_as_published(small):
    source = narrativeqa.load(source=small("narrativeqa"), split="test")
    who, where = (source.problem(i) for i in range(2))
    assert source.num_problems == 2
    assert who.story.units == ("Anna lives in cc.", "She finds the ring in the well.", "All are glad.")
    assert (who.question, who.answers, who.support) == ("Who finds the ring of cc?", ("Anna", "Anna does"), None)
    assert where.answers == ("In the well.",)
    assert dict(who.meta) == {"document": "cc", "title": "Tale cc", "kind": "gutenberg"}
    assert not source.columns().support_known.any()


def test_weak_support_of_narratives_is_asked_for_by_name_and_marked(small):
    path = small("narrativeqa")
    source = narrativeqa.load(source=path, split="test", difficulty={"support": "weak"})
    who, where = (source.problem(i) for i in range(2))
    assert (where.support, where.meta["support"]) == ((1,), "weak")
    assert who.support == (0,), "the first sentence says 'Anna', the second proves it: weak"
    sealed = narrativeqa.load(source=path, split="test", difficulty={"support": "weak"}, annotation=False).problem(1)
    assert (sealed.support, sealed.answers, "support" in sealed.meta) == (None, (), False)
    none = narrativeqa.load(source=path, split="test", difficulty={"support": "none"}).problem(1)
    assert (none.support, "support" in none.meta) == (None, False)
    with pytest.raises(UnknownNameError, match="weak"):
        narrativeqa.load(source=path, difficulty={"support": "week"})


def test_weak_support_by_hand():
    texts = ("Anna lost a red ring.", "The dog slept.", "A red ring lay in the well.", "The red ring was found.")
    asked = [Asked("", question, references, {}, {}) for question, references in (
        ("Who slept?", ("the dog",)), ("What lay in the well?", ("a red ring",)), ("Why?", ("out of love",)),
        ("What was lost?", ("her ring of gold",)),
    )]  # fmt: skip
    units = Units(texts, (0,) * 4, (0,) * 4, links=(0b001, 0b010, 0b100, 0b001))
    links = [0b010, 0b100, 0, 0b001]
    weak = WeakSupport(load_tokenizer(None), 30)
    # "a red ring" is in units 0 and 2: 2 shares more link words with the question; "ring" has 2 * 1 / (1 + 4) = 0.4
    assert weak(Passage("", (" ".join(texts),), asked), units, links) == [(1,), (2,), None, None]
    assert [one.gold_meta for one in asked] == [{"support": "weak"}, {"support": "weak"}, {}, {}]
    # now also "the" of units 2 and 3, with 2 * 1 / (1 + 2), and the ring of unit 3, which shares a link word
    two = replace(weak, most=2, least_score=0.4)
    assert two(Passage("", (" ".join(texts),), asked), units, links) == [(1, 2), (0, 2), None, (0, 3)]


def test_narrative_stories_whole(small):
    path = small("narrativeqa")
    with pytest.raises(DataError, match=r"has no whole texts: expected stories/<document_id>.content"):
        narrativeqa.load(source=path, difficulty={"text": "story"})
    (path / "stories").mkdir()
    (path / "stories" / "aa.content").write_text("Produced by Nick. CHAPTER   ONE. Anna got up. It was late. the END. Licence.")
    (path / "stories" / "zz.content").write_text("Of no document.")
    story = narrativeqa.load(source=path, difficulty={"text": "story"}).problem(0).story
    assert story.units == ("CHAPTER   ONE.", "Anna got up.", "It was late.", "the END.")
    (path / "stories" / "aa.content").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"aa.content, line 1: not UTF-8 text"):
        narrativeqa.load(source=path, difficulty={"text": "story"})


def change_csv(path, change):
    rows = list(csv.reader(io.StringIO(path.read_text(), newline="")))
    change(rows)
    path.write_text(table([tuple(row) for row in rows]))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("qaps.csv", lambda r: r[0].__setitem__(2, "query"), r"qaps.csv, row 1: the columns question are missing"),
        ("qaps.csv", lambda r: r[1].__setitem__(2, ""), r"qaps.csv, row 2 .*: the question is empty"),
        ("qaps.csv", lambda r: r[2].__setitem__(slice(3, 5), ("", "")), r"qaps.csv, row 3 .*: every answer is empty"),
        (
            "qaps.csv",
            lambda r: r[1].__setitem__(1, "dev"),
            r"qaps.csv, row 2 .*: set must be one of train, .*, got 'dev'",
        ),
        ("qaps.csv", lambda r: r[1].pop(), r"qaps.csv, row 2 .*: expected 8 fields, got 7"),
        ("third_party/wikipedia/summaries.csv", lambda r: r[1].__setitem__(2, " "), r"row 2 .*: the summary of 'aa' is empty"),
        ("third_party/wikipedia/summaries.csv", lambda r: r.pop(1), r"the document 'aa' has no text among the summaries"),
        ("third_party/wikipedia/summaries.csv", lambda r: r.append(r[1]), r"row 5 .*: the document 'aa' stands in .* row 2"),
        ("documents.csv", lambda r: r[0].__setitem__(6, "title"), r"documents.csv, row 1: the columns wiki_title are missing"),
    ],
)
def test_broken_narrative_records_are_named(file, change, message, small):
    path = small("narrativeqa")
    change_csv(path / file, change)
    with pytest.raises(DataError, match=message):
        narrativeqa.load(source=path)


def test_missing_narrative_files_are_named(small):
    path = small("narrativeqa")
    (path / "documents.csv").unlink()
    assert "title" not in narrativeqa.load(source=path).problem(0).meta
    (path / "third_party" / "wikipedia" / "summaries.csv").unlink()
    with pytest.raises(DataError, match=r"has no third_party/wikipedia/summaries.csv \(or .*gz\).*it has qaps.csv, "):
        narrativeqa.load(source=path)


# The hub


def write_parquet(path: Path, rows: list[dict]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs reasongym[data]")
    pyarrow = pytest.importorskip("pyarrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs reasongym[data]")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    return datasets


def test_squad_on_the_hub_reads_like_the_published_files(datasets, tmp_path):
    content = squad(titles=("Elbe", "Oder"))
    rows = [
        {
            "id": entry["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": entry["question"],
            "answers": {key: [a[key] for a in entry["answers"]] for key in ("text", "answer_start")},
        }
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for entry in paragraph["qas"]
    ]
    write_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet", rows)
    source = squad2.load(source=f"hub:{tmp_path}/hub")
    assert source.name == "squad2/hub/train"
    plain = squad2.load(source=write_json(tmp_path / "dev.json", content), split="validation")
    assert_same_columns(source.columns(), plain.columns())
    with pytest.raises(DataError, match=r"no Parquet file validation-\*.parquet in .*'hub:FOLDER' needs a copy of hf://"):
        squad2.load(source=f"hub:{tmp_path}/hub", split="validation")
    with pytest.raises(DataError, match="has no split 'test'"):
        squad2.load(source="hub", split="test")
    write_parquet(tmp_path / "hub" / "validation-0.parquet", [{"id": "1", "title": "a"}])
    with pytest.raises(DataError, match="the columns context, question, answers are missing"):
        squad2.load(source=f"hub:{tmp_path}/hub", split="validation")


def test_narratives_on_the_hub_read_like_the_published_files(datasets, small, tmp_path):
    plain = narrativeqa.load(source=small("narrativeqa"))
    summary = " Anna lives in aa.\n\nShe finds the ring in the well. All are glad.\n"
    document = {
        "id": "aa",
        "kind": "gutenberg",
        "summary": {"text": summary, "title": "Tale aa"},
        "text": "CHAPTER ONE. It rained.",
    }
    asked = [("Who finds the ring of aa?", ("Anna", "Anna does")), ("Where is it?", ("In the well.", "In the well."))]
    rows = [
        {"document": document, "question": {"text": question}, "answers": [{"text": text} for text in answers]}
        for question, answers in asked
    ]
    write_parquet(tmp_path / "hub" / "train-00000-of-00002.parquet", rows[:1])
    write_parquet(tmp_path / "hub" / "train-00001-of-00002.parquet", rows[1:])
    source = narrativeqa.load(source=f"hub:{tmp_path}/hub")
    assert_same_columns(source.columns(), plain.columns())
    whole = narrativeqa.load(source=f"hub:{tmp_path}/hub", difficulty={"text": "story"})
    assert whole.problem(0).story.units == ("CHAPTER ONE.", "It rained.")


@pytest.mark.parametrize("dataset", ["squad2", "narrativeqa"])
def test_without_a_connection_the_other_ways_are_named(dataset, datasets, monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match=r"no route to host\); without a connection use source='procedural', or .* path"):
        LOADERS[dataset](source="hub")


# The real files


@pytest.fixture(scope="module")
def real():
    root = os.environ.get("REASONGYM_DATA")
    if not root or not (Path(root) / "squad").is_dir():
        pytest.skip("needs the published files: set REASONGYM_DATA to a folder with squad, fairytaleqa and narrativeqa in it")
    return Path(root)


def test_the_real_development_set(real):
    source = squad2.load(source=real / "squad" / "dev-v2.0-a.json.gz", split="validation")
    columns = source.columns()
    assert source.num_problems == 6142
    answered = np.diff(columns.reference_start) > 0
    assert np.count_nonzero(~answered) == 3094
    sizes = np.diff(columns.support_start)
    assert (sizes[~answered] == 0).all()
    assert np.mean(sizes[answered] == 1) > 0.995
    contexts = [
        paragraph["context"]
        for article in json.loads(gzip.decompress((real / "squad" / "dev-v2.0-a.json.gz").read_bytes()))["data"]
        for paragraph in article["paragraphs"]
    ]
    for i in range(0, source.num_problems, 100):
        problem = source.problem(i)
        text = contexts[columns.story[i]]
        assert tuple(at(problem, text)) == problem.story.units
        assert sum(len(unit.split()) for unit in problem.story.units) == pytest.approx(len(text.split()), abs=12)
        for reference, start in zip(problem.answers, problem.meta.get("answer_start", ()), strict=True):
            assert text[start : start + len(reference)] == reference


@pytest.mark.slow
def test_the_real_training_set(real, tmp_path, monkeypatch):
    monkeypatch.setenv("REASONGYM_CACHE", str(tmp_path))
    source = squad2.load(source=real / "squad")
    assert source.num_problems == 87_599
    assert np.mean(np.diff(source.columns().support_start) == 1) > 0.99
    again = squad2.load(source=real / "squad")
    assert again.problem(87_598) == source.problem(87_598)
    sides = [squad2.load(source={"train": [*(real / "squad").glob("*.gz")]}, split=split) for split in ("train", "validation")]
    assert sides[0].num_problems + sides[1].num_problems == 87_599 + 6142
    assert 0.05 < sides[1].num_problems / (87_599 + 6142) < 0.15


def test_the_real_tales(real):
    source = fairytaleqa.load(source=real / "fairytaleqa" / "train-val.tar.gz", split="validation")
    assert source.num_problems == 1025
    assert (np.diff(source.columns().support_start) > 0).all()
    forms = [source.problem(i).meta["form"] for i in range(1025)]
    assert forms.count("implicit") == 275
    with pytest.raises(DataError, match=r"no files of FairytaleQA's part 'test': .* found the parts train, val"):
        fairytaleqa.load(source=real / "fairytaleqa" / "train-val.tar.gz", split="test")
    assert fairytaleqa.load(source=real / "fairytaleqa" / "train-val.tar.gz").num_problems == 8548


def test_the_real_list_of_narrative_documents(real, tmp_path):
    folder = write_narratives(tmp_path, {"0029bdbe75423337b551e42bb31f9a102785376f": "train"})
    (folder / "documents.csv").unlink()
    shutil.copy(real / "narrativeqa" / "documents.csv.gz", folder)
    assert narrativeqa.load(source=folder).problem(0).meta["title"] == "Percival Keene"
