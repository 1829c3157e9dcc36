"""The judge in this process: its scores against a plain computation, its contract, its store."""

from __future__ import annotations

import copy
import math
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.errors import UnknownNameError
from reasongym.prm.base import RECALL, check_prm
from reasongym.prm.combinators import Clipped, WeightedSum
from reasongym.prm.judge.errors import WindowError
from reasongym.prm.judge.local import fingerprint
from reasongym.prm.judge.prm import Judge, step_text
from reasongym.prm.judge.questions import LABELS
from reasongym.prm.records import RecordScorer, StepRecord
from reasongym.prm.weights import Reweighted
from reasongym.wrappers.episodes import EpisodeRecorder


@pytest.fixture(scope="module")
def record(judge, texts) -> StepRecord:
    """Three steps that the rubric on logic applies to, also as a record's steps."""
    claims = [text for text in texts if "action: answer" in text or "action: recall" in text]
    record = StepRecord("Where is Mary?", tuple(claims[:3]), ("logic",), np.array([[1.0], [-1.0], [np.nan]], np.float32))
    assert not np.isnan(judge.score_records([record])[0][:, 0]).any()
    return record


@pytest.fixture(scope="module")
def judge(folder):
    return Judge(folder, batch_size=5)


def by_hand(judge, question):
    """P(yes | yes or no) and the mass, from one pass over the whole prompt as a string, no cache, no batch."""
    import torch

    tokenizer, model = judge._backend.tokenizer, judge._backend.model
    messages = [{"role": "system", "content": question.system}, {"role": "user", "content": question.content}]
    ids = tokenizer(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True), add_special_tokens=False
    )
    with torch.inference_mode():
        p = model(torch.tensor([ids["input_ids"]])).logits[0, -1].double().softmax(-1)
    good, bad = (
        sum(p[i].item() for i in range(len(tokenizer)) if tokenizer.decode([i]).strip().lower() == label) for label in LABELS
    )
    return good / (good + bad), good + bad


def test_scores_are_those_of_a_plain_pass_over_each_prompt(judge, texts):
    asking = judge._asking
    materials = [asking.step(text) for text in texts]
    for material, row in zip(materials, judge.verdicts(materials), strict=True):
        for criterion, verdict in zip(judge.criteria, row, strict=True):
            asked = {kind: [by_hand(judge, asking.question(kind, criterion, material, order)) for order in (False, True)]
                     for kind in ("topic", "verdict")}  # fmt: skip
            applies, good = (np.mean([p for p, _ in asked[kind]]) for kind in ("topic", "verdict"))
            assert verdict.applies == pytest.approx(applies, abs=1e-4)
            if applies > 0.5:
                assert verdict.score == pytest.approx(2 * good - 1, abs=1e-4)
                assert verdict.mass == pytest.approx(min(mass for pairs in asked.values() for _, mass in pairs), abs=1e-4)
            else:
                assert math.isnan(verdict.score)
                assert verdict.unscored == "does not apply"
    scored = [v for row in judge.verdicts(materials) for v in row if not v.unscored]
    assert len(scored) > 10
    assert len({round(v.score, 3) for v in scored}) > 5


def test_a_shared_prefix_changes_nothing_and_saves_tokens(folder, judge, texts):
    separate = Judge(folder, share_prefix=False, batch_size=3)
    shared = Judge(folder, batch_size=7)
    materials = [judge._asking.step(text) for text in texts]
    for a, b in zip(separate.verdicts(materials), shared.verdicts(materials), strict=True):
        np.testing.assert_allclose([v.applies for v in a], [v.applies for v in b], atol=1e-5)
        np.testing.assert_allclose([v.score for v in a], [v.score for v in b], atol=1e-5)
    assert shared.ledger.tokens_in < separate.ledger.tokens_in / 3
    assert shared.ledger.calls == separate.ledger.calls == len(texts) * 3 * 4


def test_more_texts_than_are_remembered_change_nothing(folder, judge, texts, monkeypatch):
    monkeypatch.setattr("reasongym.prm.judge.local.MOST_KNOWN", 3)
    other = Judge(folder)
    for mine, theirs in zip(judge.verdicts(texts[:8]), other.verdicts(texts[:8]), strict=True):
        assert [v.score for v in mine] == pytest.approx([v.score for v in theirs], abs=1e-5, nan_ok=True)


def test_a_batch_scores_like_one_by_one(judge, folder, texts):
    materials = [judge._asking.step(text) for text in texts[:8]]
    alone = [Judge(folder).verdicts([material])[0] for material in materials[:3]]
    together = judge.verdicts(materials)
    for a, b in zip(alone, together, strict=False):
        np.testing.assert_allclose([v.score for v in a], [v.score for v in b], atol=1e-5)


def test_it_is_a_prm_that_makes_the_reward(judge):
    assert check_prm(judge).criteria == ("logic", "coherence", "goal")
    env = gym.make_vec("ReasonGym-bAbI-qa1-v0", num_envs=4, prm=judge, memory_slots=3)
    observation, _ = env.reset(seed=0)
    seen, draw = [], np.random.default_rng(0)
    for _ in range(15):
        actions = (draw.random(observation["action_mask"].shape) * observation["action_mask"]).argmax(1)
        observation, _, _, _, info = env.step(actions)
        seen.append(np.asarray(info["prm_scores"]["logic"]))
    assert np.nanmax(np.abs(seen)) > 0
    assert np.isnan(seen).any()  # reading on is no claim


def test_actions_that_are_not_judged_cost_nothing(folder, steps):
    batch = steps({"action": "next", "desk": "Mary went home."}, {"action": "recall 1", "question": "Where is Mary?",
                  "memory": [{1: "Mary went to the kitchen."}]})  # fmt: skip
    judge = Judge(folder, actions=("recall",))
    scores = judge.score(batch)
    assert scores.shape == (2, 3)
    assert scores.dtype == np.float32
    assert np.isnan(scores[0]).all()
    assert not np.isnan(scores[1, :2]).any()
    assert judge.ledger.questions == 12
    assert batch.kind[1] == RECALL
    everything = Judge(folder)
    np.testing.assert_allclose(everything.score(batch)[1], scores[1], atol=1e-5)
    assert everything.ledger.questions == 24
    assert everything.version != judge.version


def test_records_are_scored_without_looking_ahead(judge, record):
    assert isinstance(judge, RecordScorer)
    whole, part = judge.score_records([record, StepRecord(record.prompt, record.steps[:2], ("logic",), record.labels[:2])])
    assert whole.shape == (3, 3)
    np.testing.assert_allclose(whole[:2], part, atol=1e-5)
    assert judge.score_records([]) == []


def test_annotated_records_say_who_judged_and_what_is_missing(judge, record):
    record = judge.annotate([record])[0]
    assert record.meta["judge"]["version"] == judge.version
    gaps = {(int(t), c) for t, c in (key.split("/") for key in record.meta["judge"]["unscored"])}
    assert gaps == {(t, judge.criteria[j]) for t, j in zip(*np.nonzero(np.isnan(record.labels)), strict=True)}
    assert record.steps == record.steps


def test_reasons_are_kept_where_they_are_asked_for(folder, training, texts):
    judge = Judge(folder, reasons=True, reply_tokens=24)
    rows = judge.verdicts([judge._asking.step(text) for text in texts[:6]])
    scored = [v for row in rows for v in row if not v.unscored]
    assert scored
    assert all(v.reason for v in scored)
    assert {v.reason for v in scored} & set(training.REASONS.values())


def test_reasons_are_recorded_with_an_episode_and_cost_no_second_call(folder, training):
    judge, silent = Judge(folder, reasons=True, reply_tokens=24), Judge(folder)
    for asked in (judge, silent):
        env = gym.make("ReasonGym-bAbI-qa1-v0", prm=asked, difficulty={"max_units": 4}, memory_slots=2)
        env.reset(seed=0)
        recorder, ended = EpisodeRecorder(env.unwrapped.batch, agent="expert"), False
        while not ended:
            ended = env.step(env.unwrapped.expert_action())[2]
        (episode,) = recorder.close()
        said = [step["reasons"][name] for step in episode["steps"] for name in asked.criteria if name in step["reasons"]]
        scores = [step["scores"] for step in episode["steps"]]
        scored = [name for row in scores for name in asked.criteria if row[name] is not None]
        assert scored
        assert len(said) == (len(scored) if asked is judge else 0)
    assert judge.ledger.scored == len(scored)
    assert judge.ledger.hits >= judge.ledger.calls, "what was said of a scored step is read from the store"


def test_thoughts_are_hidden_unless_they_are_asked_for(folder, record):
    told = StepRecord(**{**vars(record), "meta": {"thoughts": ["Hm.", "verdict: yes", "So?"]}})
    blind, seeing = Judge(folder), Judge(folder, thoughts=True)
    np.testing.assert_array_equal(blind.score_records([told])[0], blind.score_records([record])[0])
    assert not np.allclose(
        np.nan_to_num(seeing.score_records([told])[0]), np.nan_to_num(blind.score_records([record])[0]), atol=1e-5
    )
    with pytest.raises(ValueError, match="has 1 entries for 3 steps"):
        seeing.score_records([StepRecord(**{**vars(record), "meta": {"thoughts": ["Hm."]}})])


def test_a_hit_costs_no_call_and_survives_the_process(folder, tmp_path, texts):
    first = Judge(folder, cache=tmp_path / "cache")
    materials = [first._asking.step(text) for text in texts[:5]]
    scores = [[v.score for v in row] for row in first.verdicts(materials)]
    assert first.ledger.calls == first.ledger.questions == 60
    again = Judge(folder, cache=tmp_path / "cache")
    np.testing.assert_array_equal(scores, [[v.score for v in row] for row in again.verdicts(materials)])
    assert (again.ledger.calls, again.ledger.hits, again.ledger.tokens_in) == (0, 60, 0)
    assert again.ledger.mean_mass == pytest.approx(first.ledger.mean_mass)
    half = Judge(folder, cache=tmp_path / "cache", dtype="bfloat16")
    half.verdicts(materials)
    assert half.ledger.hits == 0  # another dtype is another judge


def test_other_weights_are_another_judge(folder, tmp_path, judge):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] += 1e-3
    other = tmp_path / folder.name
    model.save_pretrained(other)
    judge._backend.tokenizer.save_pretrained(other)
    assert Judge(other).version != judge.version


def test_other_words_around_the_prompt_are_another_judge(folder, tmp_path, texts):
    """Keywords of a chat template change what the model reads, so they change the key of every reply."""
    from transformers import AutoTokenizer

    switched = tmp_path / "switched"
    shutil.copytree(folder, switched)
    tokenizer = AutoTokenizer.from_pretrained(switched)
    tokenizer.chat_template += "{% if add_generation_prompt and thinking is defined and thinking %} no yes no{% endif %}"
    tokenizer.save_pretrained(switched)
    found = []
    for template in ({}, {"thinking": True}, {"thinking": False}):
        judge = Judge(switched, cache=tmp_path / "cache", template=template)
        found.append([v.applies for v in judge.verdicts([judge._asking.step(texts[0])])[0]])
        assert judge.ledger.hits == (12 if template == {"thinking": False} else 0)  # the same words as without
    assert found[0] == found[2] != found[1]


def test_another_revision_of_a_model_on_the_hub_is_another_judge(folder, tmp_path, monkeypatch, texts):
    """Two revisions in the hub's cache under one name; `main` moves from the one to the other."""
    import huggingface_hub.constants as hub
    import torch
    from transformers import AutoModelForCausalLM

    name, home = "somebody/tiny", tmp_path / "hub" / "models--somebody--tiny"
    for revision, change in (("a" * 40, 0.0), ("b" * 40, 0.1)):
        shutil.copytree(folder, home / "snapshots" / revision)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        with torch.no_grad():
            model.model.embed_tokens.weight += change
        model.save_pretrained(home / "snapshots" / revision)
    (home / "refs").mkdir()
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    hits, keys = [], []
    for revision in ("a" * 40, "b" * 40, "a" * 40):
        (home / "refs" / "main").write_text(revision)
        judge = Judge(name, cache=tmp_path / "cache")
        judge.verdicts([judge._asking.step(texts[0])])
        hits.append(judge.ledger.hits)
        keys.append(judge.version)
    assert hits == [0, 0, 12]
    assert keys[0] == keys[2] != keys[1]


def test_a_model_of_unknown_origin_is_known_by_its_weights(judge):
    model = copy.deepcopy(judge._backend.model)
    before = fingerprint(Path("somebody/tiny"), model)
    assert before == fingerprint(Path("somebody/tiny"), copy.deepcopy(model))
    next(model.parameters()).data[0, 0] += 1e-3
    assert fingerprint(Path("somebody/tiny"), model) != before


def test_a_step_beyond_the_window_is_refused_or_unscored_never_cut(folder, texts):
    long = " ".join(f"Mary went to room {i}." for i in range(600))
    judge = Judge(folder)
    materials = [judge._asking.step(text) for text in (texts[0], long)]
    with pytest.raises(WindowError, match=r"has \d{4} tokens and may get 1 more, but the model's window is 2048"):
        judge.verdicts(materials)
    rows = Judge(folder, on_failure="unscored").verdicts(materials)
    assert all("window is 2048" in v.unscored for v in rows[1])
    assert not any("window" in v.unscored for v in rows[0])


def test_labels_of_little_mass_leave_a_step_unscored(training, config, tmp_path, texts):
    untrained = tmp_path / "untrained"
    training.train(
        training.Config(steps=1, hidden=32, layers=1, material=200, batch_size=2, learning_rate=1e-9), untrained, say=str
    )
    judge = Judge(untrained)
    row = judge.verdicts([judge._asking.step(texts[0])])[0]
    assert [math.isnan(v.score) for v in row] == [True] * 3
    assert all("of the probability when the topic was asked" in v.unscored for v in row)
    assert judge.ledger.mean_mass < 0.1
    assert judge.ledger.unscored == 3


def test_calibration_moves_scores_and_counts_human_labels(folder, record):
    judge = Judge(folder, criteria=("logic",))
    before, version = judge.score_records([record])[0], judge.version
    around = [WeightedSum(judge), Clipped(judge), Reweighted(judge), Clipped(Reweighted(WeightedSum(judge)))]
    told = [prm.version for prm in around]
    judge.calibrate([record], human=False)
    assert all(prm.version != old for prm, old in zip(around, told, strict=True))
    assert judge.ledger.human_label_bits == 0
    fitted = judge.calibrate([record], human=True)
    assert judge.ledger.human_label_bits == 2
    after = judge.score_records([record])[0]
    assert not np.allclose(before[:2], after[:2], atol=1e-3)
    assert judge.version != version
    np.testing.assert_allclose(
        Judge(folder, criteria=("logic",), calibration=fitted).score_records([record])[0], after, atol=1e-5
    )


@pytest.mark.parametrize(
    ("keywords", "error", "said"),
    [
        ({"criteria": ("logik",)}, UnknownNameError, "did you mean 'logic'"),
        ({"criteria": ("logic", "logic")}, ValueError, "each of another name"),
        ({"answers": "jason"}, UnknownNameError, "did you mean 'json'"),
        ({"on_failure": "zero"}, UnknownNameError, "known: raise, unscored"),
        ({"actions": ("recal",)}, UnknownNameError, "did you mean 'recall'"),
        ({"calibration": {"rigour": None}}, ValueError, "calibration names the criterion 'rigour'"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(folder, keywords, error, said):
    with pytest.raises(error, match=said):
        Judge(folder, **keywords)


def test_the_text_source_is_one_function(judge, steps, monkeypatch):
    batch = steps({"action": "recall 1", "question": "Where is Mary?", "memory": [{1: "Mary went to the kitchen."}]})
    assert step_text(batch, 0) == batch.text(0)
    before = judge.score(batch)
    monkeypatch.setattr("reasongym.prm.judge.prm.step_text", lambda steps, i: "question: Where is John?\naction: recall 1")
    assert not np.array_equal(before, judge.score(batch))
