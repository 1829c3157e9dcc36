"""A causal language model as a PRM: fitted from scratch, resumed, and refused what its window does not hold."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_models import tiny_model

from reasongym.prm.records import StepRecord

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from reasongym.prm.learned.fitting import FitSettings, Fitting  # noqa: E402
from reasongym.prm.learned.prm import LearnedPRM  # noqa: E402
from reasongym.prm.learned.step_encoder import TextEncoder  # noqa: E402
from reasongym.prm.learned.step_lm import StepLM  # noqa: E402
from reasongym.prm.learned.step_network import StepNetwork  # noqa: E402
from reasongym.prm.learned.windows import WindowError, window_of  # noqa: E402

ROOT = Path(__file__).parents[3]
NAMES = ("mary", "john", "daniel", "sandra")
WORDS = ("recall", "where", "is", *NAMES)


def asked(n, seed=0):
    """A step is right that names the person of the prompt."""
    draw, out = np.random.default_rng(seed), []
    for _ in range(n):
        person, said = draw.choice(NAMES), draw.choice(NAMES, draw.integers(1, 5))
        labels = [1.0 if name == person else -1.0 for name in said]
        out.append(StepRecord.of(f"where is {person}", [f"recall {name}" for name in said], labels))
    return out


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    return tiny_model(tmp_path / "llama", WORDS, "llama")


def test_a_language_model_is_fitted_saved_and_calibrated(model, tmp_path):
    records = asked(200)
    backbone = StepLM(model, 1)
    settings = FitSettings(updates=120, batch_tokens=400, learning_rate=3e-3)
    fitting = Fitting(backbone, records, None, settings)
    losses = [fitting.update() for _ in range(settings.updates)]
    assert np.mean(losses[:5]) > 0.5 > 5 * np.mean(losses[-10:])
    prm = LearnedPRM(backbone, ("correct",))
    prm.calibrate(asked(50, seed=1))
    prm.save_pretrained(tmp_path / "prm")
    unseen = asked(50, seed=2)
    scores = LearnedPRM.from_pretrained(tmp_path / "prm").score_records(unseen)
    assert np.mean(np.concatenate([(s > 0) == (r.labels > 0) for s, r in zip(scores, unseen, strict=True)])) > 0.95


def test_unscored_labels_teach_nothing(model):
    """Of two trainings, one has wrong labels where the other has none: the same weights if these were read as unscored."""
    some = [StepRecord.of("where is mary", ["recall mary", "recall john"], [1.0, label]) for label in (None, None)]
    backbone = StepLM(model, 1)
    fitting = Fitting(backbone, some, None, FitSettings(updates=1))
    with torch.no_grad():
        expected = torch.nn.functional.softplus(-backbone([(some[0].prompt, *some[0].steps)])[0][0])
    assert fitting.update() == pytest.approx(float(expected), abs=1e-5)


def test_a_resumed_fitting_ends_with_the_same_weights(model):
    ends = []
    for killed in (False, True):
        torch.manual_seed(0)
        backbone = StepLM(model, 1)
        fitting = Fitting(backbone, asked(30), None, FitSettings(updates=4, batch_tokens=100))
        for _ in range(2):
            fitting.update()
        if killed:
            state = copy.deepcopy(fitting.state())
            backbone = StepLM(model, 1)
            fitting = Fitting(backbone, asked(30), None, FitSettings(updates=4, batch_tokens=100))
            fitting.load(state)
        for _ in range(2):
            fitting.update()
        ends.append([parameter.detach().clone() for parameter in backbone.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_step_transformer_needs_its_reader():
    with pytest.raises(TypeError, match="give the reader of its StepNetwork"):
        Fitting(StepNetwork(WORDS, 1).network, asked(3), None, FitSettings(updates=1))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_what_is_longer_than_the_model_is_refused(tmp_path, kind):
    backbone = StepLM(tiny_model(tmp_path, WORDS, kind, window=32), 1)
    assert backbone.max_tokens == 32
    fits = StepRecord.of("where is mary", ["recall mary"] * 14, [None] * 14)  # 3 + 2 x 14 = 31 tokens
    long = StepRecord.of("where is mary", ["recall mary"] * 15, [None] * 15)
    prm = LearnedPRM(backbone, ("correct",))
    assert len(prm.score_records([fits])[0]) == 14
    told = rf"has 33 tokens, but the window of {kind}model is 32: cut it into shorter ones, or take a model with a longer"
    with pytest.raises(WindowError, match=f"(?i)record 0 {told}"):
        prm.score_records([long])
    with pytest.raises(WindowError, match=f"(?i)the record of 'where is mary' {told}"):
        Fitting(backbone, [long], None, FitSettings(updates=1))
    path = ()
    for t, text in enumerate((long.prompt, *long.steps[:14])):
        _, nodes = backbone.extend([path], [text])
        path = (*path, *nodes)
        assert len(path) == t + 1
    with pytest.raises(WindowError, match=f"(?i)an episode {told}"):
        backbone.extend([path], [long.steps[14]])
    assert StepLM(str(tmp_path), 1, max_tokens=8).max_tokens == 8
    with pytest.raises(WindowError, match="has 31 tokens, but max_tokens is 8: cut it into shorter ones, or raise max_tokens"):
        LearnedPRM(StepLM(str(tmp_path), 1, max_tokens=8), ("correct",)).score_records([fits])


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoder_refuses_what_it_has_no_positions_for(tmp_path, kind):
    """RoBERTa counts positions from behind the row of its padding, so one of its 33 is never a token's."""
    encoder = TextEncoder(tiny_model(tmp_path, WORDS, kind, window=32))
    assert (encoder.max_tokens, window_of(encoder.model)) == (32, 32)
    assert encoder([" ".join(["mary"] * 32)]).shape == (1, 32)
    with pytest.raises(WindowError, match=r"a prompt or step has 33 tokens, but the window of \w+Model is 32: cut it"):
        encoder([" ".join(["mary"] * 33)])


def test_the_training_script_takes_a_language_model(tmp_path):
    """From scratch, on few and short episodes: everything up to a folder that the bench could load."""
    script = ROOT / "examples" / "train_prm.py"
    spec = importlib.util.spec_from_file_location("train_prm", script)
    train_prm = sys.modules["train_prm"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train_prm)
    words = ("note", "recall", "pass", "over", "answer", "mary", "john", "went", "to", "the", "kitchen", "garden")
    small = {"tasks": "1", "planted": 20, "half_good": 0, "random": 0, "test_planted": 4, "test_half_good": 4}
    path = tiny_model(tmp_path / "model", words, "llama", window=1024)
    config = train_prm.Config(
        **{**train_prm.SMOKE, **small, "calibration": 10, "completed": 1, "updates": 2}, language_model=path, batch_tokens=600
    )
    result = train_prm.train(config, tmp_path, False)
    prm = LearnedPRM.from_pretrained(tmp_path)
    assert isinstance(prm.backbone, StepLM)
    assert (prm.version, prm.label_meaning) == (result["version"], "correctness")
    assert set(result["sets"]["seen, planted"]["hindsight"]) == {"causal labels", "learned"}
    with pytest.raises(ValueError, match="name one of them"):
        train_prm.backbone_of(train_prm.Config(encoder=path, language_model=path), [StepRecord.of("p", ["a"], [1.0])])
