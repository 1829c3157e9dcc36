"""Sources of bAbI problems: made to order and read from the published files; purity, splits, faults, cache.

The last group reads the real files: `REASONGYM_DATA` is a folder with `babi/en-10k.tar.gz` in it.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from reasongym.errors import DataError, UnknownNameError
from reasongym.seeding import BUCKETS, story_bucket
from reasongym.tasks import babi, cache, hub
from reasongym.tasks.columns import DTYPES, columns_of
from reasongym.tasks.worlds import lexicon
from reasongym.types import ProblemSource

TWO_STORIES = (
    "1 Mary moved to the bathroom.\n"
    "2 John went to the hallway.\n"
    "3 Where is Mary? \tbathroom\t1\n"
    "4 Daniel went back to the hallway.\n"
    "5 Where is Daniel? \thallway\t4\n"
    "1 Sandra travelled to the office.\n"
    "2 Sandra went to the bathroom.\n"
    "3 Where is Sandra? \tbathroom\t2\n"
)
NAMES = {1: "qa1_single-supporting-fact", 4: "qa4_two-arg-relations", 3: "qa3_three-supporting-facts"}
TASK_4 = "1 The office is north of the kitchen.\n2 The garden is south of the kitchen.\n"
TASK_4 += "3 What is north of the kitchen?\toffice\t1\n"
TASK_3 = (
    "1 Mary got the milk.\n2 Mary went to the office.\n3 Mary went to the garden.\n"
    "4 Where was the milk before the garden? \toffice\t1 3 2\n"
)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("REASONGYM_CACHE", "")


@pytest.fixture
def published(tmp_path):
    """A function that writes files of one folder `en` and returns its path."""

    def write(**texts):
        folder = tmp_path / "data" / "en"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            task, part = name[1:].split("_", 1)
            (folder / f"{NAMES[int(task)]}_{part.replace('_partial', '.partial')}.txt").write_text(text)
        return str(folder)

    return write


def text_of(problem):
    return problem.story.units, problem.num_units, problem.question


def events_of(problem):
    world = babi.WORLDS[problem.task]
    return tuple(world.parse_unit(unit) for unit in problem.story.units)


# Made to order


def test_there_are_twenty_worlds():
    assert list(babi.WORLDS) == list(range(1, 21))
    assert all(world.task == task for task, world in babi.WORLDS.items())


@pytest.mark.parametrize("task", babi.WORLDS)
@pytest.mark.parametrize("split", BUCKETS)
def test_a_problem_is_a_pure_function_of_its_index_and_says_what_it_means(task, split):
    source, again = babi.load((task,), split=split), babi.load((task,), split=split)
    world = babi.WORLDS[task]
    assert isinstance(source, ProblemSource)
    assert source.fingerprint == again.fingerprint
    backwards = {i: again.problem(i) for i in (24, 3, 11, 0)}
    for i in range(25):
        problem = source.problem(i)
        assert i not in backwards or problem == backwards[i]
        assert problem.name == f"qa{task}/{split}/{i}"
        assert story_bucket(events_of(problem)) in BUCKETS[split]
        assert problem.num_units == len(problem.story.units) <= source.max_units
        assert max(len(source.tokenize(unit)) for unit in problem.story.units) <= source.unit_tokens
        assert len(source.tokenize(problem.question)) <= source.question_tokens
        choice = source.choice_of(problem.answers[0])
        kind = 1 << source.kinds.index(problem.answer_kind)
        assert source.choice_kinds[choice] & kind
        proof = world.solve(tuple(enumerate(events_of(problem))), world.parse_question(problem.question))
        assert (proof.answer, proof.support) == (problem.answers[0], problem.support)
        assert len(problem.prerequisites) == len(problem.support)


def test_problems_of_different_splits_and_difficulties_share_no_story():
    stories = {split: {events_of(babi.load((1,), split=split).problem(i)) for i in range(300)} for split in BUCKETS}
    for split, own in stories.items():
        assert len(own) > 100
        assert all(own.isdisjoint(others) for other, others in stories.items() if other != split)


def test_the_default_number_of_problems_and_an_endless_source():
    assert babi.load((1,)).num_problems == 100_000
    assert babi.load((1,), split="test").num_problems == 10_000
    few = babi.load((1,), num_problems=7)
    assert few.num_problems == 7
    endless = babi.load((1,), num_problems=None)
    assert endless.num_problems is None
    assert text_of(endless.problem(6)) == text_of(few.problem(6))
    assert endless.problem(2**62 - 1).task == 1
    for index in (-1, 7):
        with pytest.raises(IndexError, match=rf"problem {index} of babi-qa1/procedural/train, .* 0 to 6"):
            few.problem(index)
    with pytest.raises(ValueError, match="num_problems must be at least 1"):
        babi.load((1,), num_problems=0)


@pytest.mark.parametrize("task", [4, 17])
def test_a_small_world_has_each_of_its_problems_once(task):
    total = 0
    for split in ("train", "validation", "test"):
        source = babi.load((task,), split=split)
        texts = {text_of(source.problem(i)) for i in range(min(source.num_problems, 3000))}
        assert len(texts) == min(source.num_problems, 3000)
        total += source.num_problems
    # task 4: 6*5*4 lines, two axes, two orders, four questions, four wordings; nine tenths of it by hash
    assert total < {4: 120 * 2 * 2 * 4 * 4, 17: 9600 * 4}[task]
    assert babi.load((task,), num_problems=50).num_problems == 50


def test_joint_sources_take_the_tasks_in_turn():
    joint = babi.load((2, 4, 15))
    for i in range(12):
        task, index = (2, 4, 15)[i % 3], i // 3
        assert text_of(joint.problem(i)) == text_of(babi.load((task,)).problem(index))
    assert joint.choices == tuple(c for c in lexicon.CHOICES if c in {*joint.choices})
    assert set(joint.choices) == set().union(*(babi.WORLDS[task].answers for task in (2, 4, 15)))
    assert joint.unit_tokens == max(babi.WORLDS[task].unit_tokens for task in (2, 4, 15))
    everything = babi.load()
    assert everything.choices == lexicon.CHOICES
    assert everything.name == "babi/procedural/train"
    small = babi.load((4, 1), num_problems=None)
    assert small.problem(2 * 10**9).task == 4


def test_difficulty_is_a_name_or_knobs_laid_over_published():
    assert babi.load((4,), difficulty={"max_units": 4}).problem(0).num_units == 4
    same = babi.load((15,), difficulty=dict(babi.WORLDS[15].settings["published"]))
    assert text_of(same.problem(5)) == text_of(babi.load((15,)).problem(5))
    as_list = {"people": ["Mary", "John", "Fred", "Bill"]}
    names = {unit.split()[0] for unit in babi.load((15,), difficulty=as_list).problem(0).story.units}
    assert names & set(as_list["people"])
    assert babi.load((15,), split="ood").max_units == babi.WORLDS[15].settings["ood"]["max_units"]
    assert babi.load((15,), split="ood", difficulty={"max_units": 7}).max_units == 7
    with pytest.raises(UnknownNameError, match=r"unknown difficulty of task 4 'publshed': did you mean 'published'"):
        babi.load((4,), difficulty="publshed")
    with pytest.raises(UnknownNameError, match=r"unknown knob of task 4 'max_unit': did you mean 'max_units'"):
        babi.load((4,), difficulty={"max_unit": 4})
    with pytest.raises(TypeError, match=r"knob 'max_units' of task 4 must be a int like 2, got '4' \(str\)"):
        babi.load((4,), difficulty={"max_units": "4"})
    with pytest.raises(ValueError, match="the word 'bob' in 'Bob' is not in the bAbI vocabulary"):
        babi.load((15,), difficulty={"people": ("Bob", "Mary", "Fred", "John")})


def test_unknown_tasks_and_splits_name_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown bAbI task 21"):
        babi.load((21,))
    with pytest.raises(UnknownNameError, match=r"unknown split 'valid': did you mean 'validation'"):
        babi.load((1,), split="valid")
    with pytest.raises(ValueError, match="none twice"):
        babi.load((1, 1))


def test_without_annotation_nothing_is_solved(monkeypatch):
    world = babi.WORLDS[2]
    with_gold = babi.load((2,)).problem(3)

    def refuse(*_):
        raise AssertionError("solved")

    monkeypatch.setattr(type(world), "solve", refuse)
    hidden = babi.load((2,), annotation=False).problem(3)
    assert (hidden.answers, hidden.support, hidden.prerequisites) == ((), None, ())
    assert dataclasses.replace(with_gold, answers=(), support=None, prerequisites=()) == hidden


def test_a_source_survives_pickling():
    source = babi.load((4, 17))
    assert pickle.loads(pickle.dumps(source)).problem(8) == source.problem(8)


def test_columns_of_problems():
    source = babi.load((2, 4))
    problems = [source.problem(i) for i in range(40)]
    columns = columns_of(problems, source)
    assert columns.support_known.all()
    for p, problem in enumerate(problems):
        units = slice(columns.story_start[columns.story[p]], columns.story_start[columns.story[p] + 1])
        entries = slice(columns.support_start[p], columns.support_start[p + 1])
        assert tuple(columns.sentences[i] for i in columns.unit_sentence[units]) == problem.story.units
        assert tuple(columns.superseded_by[units]) == problem.story.superseded_by
        assert tuple(columns.support[entries]) == problem.support
        assert tuple(columns.prerequisites[entries]) == problem.prerequisites
        assert source.choices[columns.gold[p]] == problem.answers[0]
        assert columns.questions[columns.question[p]] == problem.question
    late = dataclasses.replace(problems[0], support=(problems[0].num_units,))
    with pytest.raises(ValueError, match="must be at most 31 units below the"):
        columns_of([late], source)


# Published files


def test_a_published_file_is_read_as_it_stands(published):
    source = babi.load((1,), source=published(q1_test=TWO_STORIES), split="test")
    assert isinstance(source, ProblemSource)
    assert (source.name, source.num_problems, source.max_units) == ("babi-qa1/en/test", 3, 3)
    first, second, third = (source.problem(i) for i in range(3))
    assert first.story.units[:2] == ("Mary moved to the bathroom.", "John went to the hallway.")
    assert first.story is second.story
    assert (first.num_units, first.question, first.answers, first.support) == (2, "Where is Mary?", ("bathroom",), (0,))
    assert (second.num_units, second.support) == (3, (2,))
    assert third.story.superseded_by == (1, -1)
    assert (third.name, third.support, third.prerequisites) == ("qa1/test/2", (1,), (0,))
    with pytest.raises(IndexError, match="has the problems 0 to 2"):
        source.problem(3)
    assert babi.load((1,), source=published(q1_test=TWO_STORIES), split="test", num_problems=2).num_problems == 2


def test_an_archive_reads_like_its_folder(published, tmp_path):
    folder = published(q1_test=TWO_STORIES, q4_test=TASK_4)
    with tarfile.open(tmp_path / "both.tar.gz", "w:gz") as archive:
        archive.add(folder, "tasks/en")
        archive.add(folder, "tasks/other")
    (tmp_path / "archives").mkdir()
    shutil.copy(tmp_path / "both.tar.gz", tmp_path / "archives" / "en.tar.gz")
    inside = f"{tmp_path}/both.tar.gz/tasks/other"
    for source in (tmp_path / "both.tar.gz", inside, tmp_path / "data", tmp_path / "archives"):
        read = babi.load((4, 1), source=source, split="test")
        assert [read.problem(i).name for i in range(4)] == ["qa4/test/0", "qa1/test/0", "qa1/test/1", "qa1/test/2"]
        assert read.fingerprint == babi.load((4, 1), source=folder, split="test").fingerprint
        assert_same_columns(read.columns(), columns_of(map(read.problem, range(4)), read))


def assert_same_columns(a, b):
    assert (a.sentences, a.questions) == (b.sentences, b.questions)
    for name, dtype in DTYPES.items():
        assert getattr(a, name).dtype == getattr(b, name).dtype == dtype
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_published_problems_without_annotation(published):
    source = babi.load((1,), source=published(q1_test=TWO_STORIES), split="test", annotation=False)
    problem = source.problem(0)
    assert (problem.answers, problem.support, problem.prerequisites) == ((), None, ())
    columns = source.columns()
    assert (columns.gold == -1).all()
    assert not columns.support_known.any()
    assert len(columns.support) == 0
    assert_same_columns(columns, columns_of(map(source.problem, range(3)), source))


def test_task_3_is_refused_while_it_is_a_part_only(published):
    folder = published(q3_train_partial=TASK_3 * 30, q1_train=TWO_STORIES * 30)
    with pytest.raises(DataError, match=r"qa3_.*partial.txt holds a part of task 3 only: pass allow_partial=True"):
        babi.load((3,), source=folder)
    assert babi.load((1, 3), source=folder).tasks == (1,)
    assert babi.load((1, 3), source=folder, allow_partial=True).tasks == (1, 3)


def test_a_validation_file_of_its_own_is_used_whole(published):
    folder = published(q1_train=TWO_STORIES * 2, q1_valid=TWO_STORIES)
    assert babi.load((1,), source=folder, split="train").num_problems == 6
    assert babi.load((1,), source=folder, split="validation").num_problems == 3


FAULTS = [
    (TWO_STORIES.replace("3 Where is Mary? \t", "3 Where is Mary? "), 3, "expected 'question<tab>answer<tab>"),
    (TWO_STORIES.replace("Mary? \tbathroom\t1", "Mary? bathroom 1"), 3, "unknown sentence"),
    (TWO_STORIES.replace("3 Where is Mary? \tbathroom\t1", "3 Where is Mary?"), 3, "without tabs"),
    (TWO_STORIES.replace("4 Daniel", "6 Daniel"), 4, r"expected a line with the id 4 \(or 1, for the next story\)"),
    (TWO_STORIES.replace("hallway\t4", "hallway\t3"), 5, "'3' points to a question"),
    (TWO_STORIES.replace("hallway\t4", "hallway\t5"), 5, r"'5' is not the id of an earlier line \(1 to 4\)"),
    (TWO_STORIES.replace("hallway\t4", "hallway\t"), 5, "expected 1 to 31 supporting ids, got 0"),
    (TWO_STORIES.replace("hallway\t4", "cellar\t4"), 5, "unknown answer 'cellar'"),
    (TWO_STORIES.replace("Daniel went back", "Daniel tiptoed"), 4, "unknown sentence in task 1"),
    (TWO_STORIES.replace("Where is Mary?", "Whence is Mary?"), 3, "unknown question in task 1"),
    (TWO_STORIES.replace("2 John", "\n2 John"), 2, "got ''"),
]


@pytest.mark.parametrize(("text", "line", "message"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_named_with_its_file_and_line_or_its_story_is_skipped(published, text, line, message):
    folder = published(q1_test=text)
    with pytest.raises(DataError, match=rf"qa1_single-supporting-fact_test.txt, line {line}: .*{message}"):
        babi.load((1,), source=folder, split="test")
    with pytest.warns(UserWarning, match=f"broken stories left out of .*: 1; .*line {line}: ") as caught:
        source = babi.load((1,), source=folder, split="test", strict=False)
    assert len(caught) == 1
    assert (source.skipped, source.num_problems) == (1, 1)
    assert source.problem(0).question == "Where is Sandra?"


@pytest.mark.parametrize("end", range(len(TWO_STORIES) - 2, len(TWO_STORIES) - 90, -1))
def test_a_file_cut_short_is_noticed(published, end):
    whole = TWO_STORIES.index("1 Sandra")
    cut = TWO_STORIES[:end]
    if cut[:whole].rstrip("\n") == cut.rstrip("\n") and end >= whole - 1:
        return  # cut between two stories: nothing to notice
    with pytest.raises(DataError, match=r"qa1_single-supporting-fact_test.txt, line \d+: "):
        babi.load((1,), source=published(q1_test=cut), split="test")


def test_a_last_line_without_an_end_is_read_when_it_holds(published):
    assert babi.load((1,), source=published(q1_test=TWO_STORIES.rstrip("\n")), split="test").num_problems == 3
    with pytest.raises(DataError, match="does not prove its answer: the file is cut short"):
        babi.load((1,), source=published(q1_test=TWO_STORIES.rstrip("\n")[:-1] + "1"), split="test")


def test_published_problems_with_long_texts_can_be_left_out(published):
    whole = babi.load((1,), source=published(q1_test=TWO_STORIES), split="test")
    short = babi.load((1,), source=published(q1_test=TWO_STORIES), split="test", difficulty={"max_units": 2})
    kept = [whole.problem(i) for i in range(whole.num_problems) if whole.problem(i).num_units <= 2]
    assert 0 < len(kept) < whole.num_problems
    assert short.fingerprint != whole.fingerprint
    found = [short.problem(i) for i in range(short.num_problems)]
    assert [(p.question, p.answers, p.support, p.story.units) for p in found] == [
        (p.question, p.answers, p.support, p.story.units) for p in kept
    ]


def test_what_is_missing_is_said(published, tmp_path):
    folder = published(q1_test=TWO_STORIES)
    with pytest.raises(DataError, match=r"no bAbI data at '.*/nowhere': looked for a folder or a .tar.gz"):
        babi.load((1,), source=f"{tmp_path}/nowhere")
    with pytest.raises(DataError, match=r"has no file qa1_single-supporting-fact_train.txt, .*it has qa1_.*_test.txt"):
        babi.load((1,), source=folder)
    with pytest.raises(ValueError, match=r"the split 'ood' exists for source='procedural' only"):
        babi.load((1,), source=folder, split="ood")
    with pytest.raises(ValueError, match=r"difficulty='long' is for source='procedural' only"):
        babi.load((1,), source=folder, split="test", difficulty="long")
    with pytest.raises(ValueError, match=r"and take 'published' or \{'max_units': n\}"):
        babi.load((1,), source=folder, split="test", difficulty={"max_units": 0})
    with pytest.raises(DataError, match=r"has no problem of at most 1 units"):
        babi.load((1,), source=folder, split="test", difficulty={"max_units": 1})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no bAbI files in"):
        babi.load((1,), source=f"{tmp_path}/empty")
    with pytest.raises(DataError, match=r"test.txt, line 1: expected the first line of a story, .* empty"):
        babi.load((1,), source=published(q1_test=""), split="test")


def test_a_broken_archive_is_said_to_be_broken(published, tmp_path):
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as archive:
        archive.add(published(q1_test=TWO_STORIES * 200), "en")
    content = (tmp_path / "whole.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(content[: len(content) // 2])
    (tmp_path / "none.tar.gz").write_bytes(b"this is no archive")
    for name in ("cut", "none"):
        with pytest.raises(DataError, match=rf"{name}.tar.gz is no whole tar archive"):
            babi.load((1,), source=f"{tmp_path}/{name}.tar.gz", split="test")


def test_the_cache_gives_the_same_and_is_rebuilt_when_broken(published, tmp_path, monkeypatch):
    folder = published(q1_test=TWO_STORIES)
    plain = babi.load((1,), source=folder, split="test")
    monkeypatch.setenv("REASONGYM_CACHE", str(tmp_path / "cache"))
    made = babi.load((1,), source=folder, split="test")
    (entry,) = (tmp_path / "cache").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("reasongym.tasks.published.parse_file", None)  # must not be called
        read = babi.load((1,), source=folder, split="test")
    for source in (made, read):
        assert_same_columns(source.columns(), plain.columns())
        assert [source.problem(i) for i in range(3)] == [plain.problem(i) for i in range(3)]
    content = entry.read_bytes()
    for broken in (content[:-30], content.replace(b"Sandra", b"Sandro"), b"", b"PK"):
        entry.write_bytes(broken)
        rebuilt = babi.load((1,), source=folder, split="test")
        assert_same_columns(rebuilt.columns(), plain.columns())
        assert entry.read_bytes() == content
    published(q1_test=TWO_STORIES * 2)
    assert babi.load((1,), source=folder, split="test").num_problems == 6


def test_a_file_without_a_whole_story_is_refused_even_when_not_strict(published):
    with pytest.raises(DataError, match=r"test.txt holds no whole story; the first fault: .*line 2: unknown sentence"):
        babi.load((1,), source=published(q1_test="1 Mary moved to the bathroom.\n2 Oh."), split="test", strict=False)


def test_a_folder_that_cannot_be_written_means_no_cache(published, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REASONGYM_CACHE", str(tmp_path / "file" / "cache"))
    assert babi.load((1,), source=published(q1_test=TWO_STORIES), split="test").num_problems == 3
    monkeypatch.delenv("REASONGYM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "reasongym"


# The hub


def write_parquet(folder: Path, stories: list[dict]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs reasongym[data]")
    pyarrow = pytest.importorskip("pyarrow")
    folder.mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(stories), folder / "0000.parquet")


def test_the_hub_reads_like_the_published_files(published, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs reasongym[data]")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    rows = []
    for line in TWO_STORIES.splitlines():
        label, rest = line.split(" ", 1)
        text, answer, support = (*rest.split("\t"), "", "")[:3]
        if label == "1":
            rows.append({"story": {"id": [], "type": [], "text": [], "supporting_ids": [], "answer": []}})
        values = (label, int("\t" in rest), text, support.split(), answer)
        for column, value in zip(rows[-1]["story"].values(), values, strict=True):
            column.append(value)
    write_parquet(tmp_path / "hub" / "en-10k-qa1" / "test", rows)
    read = babi.load((1,), source=f"hub:{tmp_path}/hub", split="test")
    plain = babi.load((1,), source=published(q1_test=TWO_STORIES), split="test")
    assert_same_columns(read.columns(), plain.columns())
    with pytest.raises(DataError, match=r"no Parquet file in .*en-10k-qa1/train"):
        babi.load((1,), source=f"hub:{tmp_path}/hub")
    write_parquet(tmp_path / "hub" / "en-10k-qa1" / "train", [{"passage": "Mary went to the office."}])
    with pytest.raises(DataError, match=r"expected rows with story = \{id, type, text, supporting_ids, answer\}"):
        babi.load((1,), source=f"hub:{tmp_path}/hub")


def test_without_a_connection_the_other_ways_are_named(monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs reasongym[data]")

    def offline(*_, data_files, **__):
        assert data_files == {"rows": f"{hub.REMOTE}/en-10k-qa1/train/*.parquet"}
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match=r"no route to host\); without a connection use source='procedural', or .* path"):
        babi.load((1,), source="hub")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'reasongym\[data\]'"):
        babi.load((1,), source="hub")


# The real files


@pytest.fixture(scope="module")
def real():
    path = Path(os.environ.get("REASONGYM_DATA", "")) / "babi" / "en-10k.tar.gz"
    if "REASONGYM_DATA" not in os.environ or not path.exists():
        pytest.skip("needs the published files: set REASONGYM_DATA to a folder with babi/en-10k.tar.gz")
    return str(path)


def test_all_real_files(real, tmp_path, monkeypatch):
    monkeypatch.setenv("REASONGYM_CACHE", str(tmp_path))
    train = babi.load(source=real)
    validation = babi.load(source=real, split="validation")
    assert train.tasks == tuple(task for task in babi.WORLDS if task != 3)
    assert train.num_problems + validation.num_problems == 190_000
    assert 0.08 < validation.num_problems / 190_000 < 0.12
    tasks = train.columns().task
    assert (np.diff(tasks) >= 0).all()
    counts = Counter(tasks.tolist()) + Counter(validation.columns().task.tolist())
    assert counts == dict.fromkeys(train.tasks, 10_000)
    whole = babi.load(source=real, allow_partial=True)
    assert whole.choices == lexicon.CHOICES
    assert {source.fingerprint for source in (train, validation, whole)} == {
        babi.load(source=real).fingerprint,
        validation.fingerprint,
        whole.fingerprint,
    }
    assert len({train.fingerprint, validation.fingerprint, whole.fingerprint}) == 3


@pytest.mark.parametrize("task", [4, 11, 18])
def test_real_stories_lie_on_one_side(real, task):
    sides = [babi.load((task,), source=real, split=split) for split in ("train", "validation")]
    stories = [{events_of(side.problem(i)) for i in range(0, side.num_problems, 5)} for side in sides]
    assert stories[0].isdisjoint(stories[1])
    assert all(story_bucket(events) in BUCKETS["validation"] for events in stories[1])
    sample = [sides[0].problem(i) for i in range(60)]
    part = columns_of(sample, sides[0])
    c = sides[0].columns()
    np.testing.assert_array_equal(part.gold, c.gold[:60])
    np.testing.assert_array_equal(part.support, c.support[: c.support_start[60]])
    np.testing.assert_array_equal(part.prerequisites, c.prerequisites[: c.support_start[60]])


def test_a_real_file_cut_short(real, tmp_path):
    with tarfile.open(real) as archive:
        archive.extract("en-10k/qa15_basic-deduction_train.txt", tmp_path, filter="data")
    file = tmp_path / "en-10k" / "qa15_basic-deduction_train.txt"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:1000])[:-20])
    with pytest.raises(DataError, match=r"qa15_basic-deduction_train.txt, line 1000: "):
        babi.load((15,), source=str(tmp_path))
    with pytest.warns(UserWarning, match="broken stories left out of .*: 1; the first"):
        source = babi.load((15,), source=str(tmp_path), strict=False)
    assert source.skipped == 1
    shutil.rmtree(tmp_path / "en-10k")
