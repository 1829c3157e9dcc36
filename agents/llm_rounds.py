"""A language model in the rounds of iterative self-reward: it plays, a copy of it judges, and both learn.

    from agents.llm_rounds import Language
    from agents.self_reward import SelfReward, Settings
    settings = Settings(arm="none", n_steps=16, batch_size=128, learning_rate=1e-4)
    easy = {"difficulty": {"max_units": 6}}
    rows = SelfReward("ReasonGym-bAbI-qa1-v0", settings, "runs/rounds", learner=Language("runs/llm"), **easy).run()

Rounds, arms, replay, pairs and reports are those of memory policies (`agents.self_reward`): an episode is kept as its actions,
and what the model was shown is rendered again from them. What differs is here: how it plays (constrained to legal commands),
how its judge reads (the situation and the command, by its own copy), and its losses (`agents.llm_ppo`, `agents.llm_dpo`, and
self-imitation of whole commands).

Axes: F frames (turns), N environments, R of them, H hidden.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.llm.sampling import Reply, Sampling
from agents.llm.surrogate import PPOSettings
from agents.llm.turns import Likelihood, Turns, gathered, likelihood
from agents.llm_dpo import Preference, learn_pairs
from agents.llm_ppo import LLMPPO
from agents.self_reward.episodes import Played
from agents.self_reward.judge import OwnJudge
from agents.self_reward.playing import Thought
from agents.self_reward.rewards import SelfRewardVecEnv
from agents.self_reward.settings import Settings
from agents.self_reward.updates import Pairs, self_imitation_loss

Read = dict[str, np.ndarray]
"""What the model read in F situations: `prompt` (F,) places in `Prompts`, `action_mask` (F, A)."""


@dataclass(frozen=True)
class Language:
    """Makes the learner of a run.

    Attributes:
        model: folder or name of a causal language model to begin with.
        ppo: further hyper-parameters (`PPOSettings`); `n_steps`, `batch_size` and `learning_rate` are the run's.
        agent: keywords of `LLMAgent`.
    """

    model: str
    ppo: Mapping[str, Any] = field(default_factory=dict)
    agent: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, paid: SelfRewardVecEnv, settings: Settings, device: str) -> LanguageLearner:
        return LanguageLearner(paid, settings, self.model, device, dict(self.ppo), **self.agent)


class Prompts:
    """Prompts by number, each held once."""

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []
        self._places: dict[bytes, int] = {}

    def add(self, prompt: Sequence[int]) -> int:
        """The number of a prompt."""
        row = np.asarray(prompt, np.int32)
        place = self._places.setdefault(row.tobytes(), len(self._held))
        if place == len(self._held):
            self._held.append(row)
        return place

    def __getitem__(self, place: int) -> list[int]:
        return self._held[place].tolist()


class LanguageLearner(LLMPPO):
    """A language model as `self_reward.learner.Learner`.

    Args:
        paid: training environments that pay what the run's weights say.
        settings: of the run.
        model: folder or name.
        device: where it lives.
        ppo: further hyper-parameters.
        agent: keywords of `LLMAgent`; replies are always constrained to legal commands, without history.
    """

    def __init__(
        self, paid: SelfRewardVecEnv, settings: Settings, model: str, device: str, ppo: dict[str, Any], **agent: Any
    ) -> None:
        s, of_run = settings, {"n_steps": settings.n_steps, "batch_size": settings.batch_size}
        chosen = PPOSettings(**{"value_rollouts": 0, **ppo, **of_run, "learning_rate": s.learning_rate})
        self.prompts, self.updates, self._run = Prompts(), 0, s
        self._lessons: Lessons | None = None
        self._imitated: list[tuple[float, int, int]] = []
        super().__init__(
            paid, model=model, seed=s.seed, device=device, settings=chosen, **{**agent, "constrained": True, "history": 0}
        )
        self.device = self.model.device

    @property
    def gamma(self) -> float:
        """Discount per turn."""
        return self.settings.gamma

    def as_player(self) -> TextPlayer:
        """It, playing."""
        return TextPlayer(self)

    def predict(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[np.ndarray, Any]:
        """As `act`."""
        return self.act(observation, state, episode_start, deterministic)

    def new_judge(self) -> LanguageJudge:
        """A copy of it that judges."""
        return LanguageJudge(self)

    def heard(self, judge: LanguageJudge | None) -> Live | None:
        """The judge, reading what the model is being shown."""
        return None if judge is None else Live(self, judge)

    def reseed(self, seed: int) -> None:
        """All that it draws from."""
        torch.manual_seed(seed)
        self.backend.generator.manual_seed(seed)
        self._draw.manual_seed(seed)

    def turns_of(self, read: Read, actions: np.ndarray) -> Turns:
        """Situations and what was done there, as turns; their log-probabilities are 0."""
        prompts = [self.prompts[place] for place in read["prompt"].tolist()]
        return self.turns(prompts, read["action_mask"], actions)

    def turns(self, prompts: Sequence[Sequence[int]], masks: np.ndarray, actions: np.ndarray) -> Turns:
        """Prompts and what was done there, as turns."""
        replies = [self._reply(mask, action) for mask, action in zip(masks, actions.tolist(), strict=True)]
        return gathered(prompts, replies, self.backend.pad, self.model.device)

    def _reply(self, mask: np.ndarray, action: int) -> Reply:
        assert self.player.legal is not None
        tokens, allowed = self.player.legal.path(mask, action)
        return Reply(tokens, [0.0] * len(tokens), allowed, True)

    # ---- learning --------------------------------------------------------------------------------------------------

    def lessons_of(self, played: Played, returns: np.ndarray) -> Lessons:
        """Episodes to learn from; `returns` (F,)."""
        return Lessons(dict(played.observations), played.actions, np.asarray(returns, np.float32))

    def learn_pairs(self, pairs: Pairs) -> dict[str, float]:
        """Step-wise DPO."""
        if not len(pairs) or not self._run.dpo_epochs:
            return {}
        read = pairs.observations
        told = [
            Preference(self.prompts[place], self._reply(mask, chosen), self._reply(mask, rejected))
            for place, mask, chosen, rejected in zip(
                read["prompt"].tolist(), read["action_mask"], pairs.chosen.tolist(), pairs.rejected.tolist(), strict=True
            )
        ]
        return learn_pairs(self, told, beta=self._run.dpo_beta, epochs=self._run.dpo_epochs)

    def improve(self, frames: int, lessons: Lessons | None) -> dict[str, float]:
        """PPO for so many turns, with self-imitation on the lessons."""
        before, rows = self.num_timesteps, len(self.rows)
        self._starts, self._lessons, self._imitated = None, lessons, []
        self.env.unwrapped.seed(int(torch.randint(2**31, ()).item()))
        self.learn(frames, whole=self._run.rounds * self._run.frames)
        self._lessons = None
        told = {name: float(np.mean([row[name] for row in self.rows[rows:]])) for name in ("entropy", "kl", "clipped")}
        if self._imitated:
            losses, imitated, fresh = np.array(self._imitated).T
            told |= {"self_imitation_loss": float(losses.mean()), "replayed": float(imitated.sum() / (imitated + fresh).sum())}
        return {"ppo_frames": float(self.num_timesteps - before), **told}

    def loss(
        self, turns: Turns, advantages: Tensor, returns: Tensor, reference: Tensor | None, values_only: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """As PPO's; where there are lessons, self-imitation of whole commands on `replay_share` of the mix is added."""
        loss, row = super().loss(turns, advantages, returns, reference, values_only)
        s, fresh = self._run, len(turns.ids)
        count = int(fresh * s.replay_share / (1 - s.replay_share))
        if self._lessons is None or not s.sil_coef or values_only or not count:
            return loss, row
        read, actions, earned = self._lessons.draw(count, self._draw)
        now = self.likelihood(self.turns_of(read, actions))
        values = self.value_head(now.hidden)
        imitation = self_imitation_loss(now.log_probs.sum(1), values, torch.as_tensor(earned, device=values.device))
        self._imitated.append((imitation.item(), count, fresh))
        return loss + s.sil_coef * imitation, row

    def descend(self, loss: Tensor) -> None:
        super().descend(loss)
        self.updates += 1

    def likelihood(self, turns: Turns) -> Likelihood:
        """How likely the model finds turns now."""
        return likelihood(self.model, turns, self.settings.temperature)

    def refit_value(self, lessons: Lessons, epochs: int = 2, batch_size: int = 256) -> float:
        """Fits the value head, and nothing else, to what was earned. Returns the last epoch's squared error."""
        everything = np.arange(len(lessons.actions))
        with torch.no_grad():
            parts = [self.likelihood(self.turns_of(*lessons.take(rows)[:2])).hidden for rows in _split(everything, batch_size)]
        hidden, earned = torch.cat(parts), torch.as_tensor(lessons.returns, device=self.model.device)
        optimizer = torch.optim.AdamW(self.value_head.parameters(), lr=self.settings.value_learning_rate, weight_decay=0.0)
        last: list[float] = []
        for _ in range(epochs):
            last = []
            for rows in self.shuffled(len(hidden)).split(batch_size):
                error = (self.value_head(hidden[rows]) - earned[rows]).square().mean()
                optimizer.zero_grad()
                error.backward()
                optimizer.step()
                last.append(error.item())
        return float(np.mean(last))

    # ---- what is kept ----------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {
            "policy": self.model.state_dict(), "value_head": self.value_head.state_dict(), "rows_of_ppo": self.rows,
            "optimizer": self.optimizer.state_dict(), "frames": self.num_timesteps, "updates": self.updates,
        }  # fmt: skip

    def resume(self, kept: dict[str, Any]) -> None:
        """Goes on from what was kept."""
        self.model.load_state_dict(kept["policy"])
        self.value_head.load_state_dict(kept["value_head"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.rows, self.num_timesteps, self.updates = kept["rows_of_ppo"], kept["frames"], kept["updates"]


@dataclass(frozen=True)
class Lessons:
    """Turns to learn from: what was read, done, and earned from there on (F,)."""

    read: Read
    actions: np.ndarray
    returns: np.ndarray

    def take(self, rows: np.ndarray) -> tuple[Read, np.ndarray, np.ndarray]:
        """Some of them."""
        return {key: value[rows] for key, value in self.read.items()}, self.actions[rows], self.returns[rows]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Read, np.ndarray, np.ndarray]:
        """So many, with repetition."""
        return self.take(torch.randint(len(self.actions), (count,), generator=generator).numpy())


class TextPlayer:
    """A language model as `self_reward.playing.Player`: what it reads is rendered from the environments."""

    stateful = False

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner, self.agent = learner, learner.player

    def begin(self, env: Any) -> None:
        """New episodes begin in these environments."""
        self.learner.model.eval()
        self.agent.attach(env)

    def think(self, observation: Any, begins: np.ndarray, rows: np.ndarray, deterministic: bool, keep: bool) -> Thought:
        """Of the situations `rows`; values come with the replies."""
        agent, learner = self.agent, self.learner
        assert agent.interface is not None
        assert agent.legal is not None
        agent.interface.begin(np.flatnonzero(begins))
        agent.interface.observe()
        prompts = shown(learner, rows)
        heat = 0.0 if deterministic else learner.settings.temperature
        replies = learner.backend.sample(
            prompts, Sampling(heat, 1.0, learner._room), agent.legal(rows.tolist()), learner.value_head
        )
        read = {
            "prompt": np.array(
                [learner.prompts.add(prompt) for prompt in prompts] if keep else np.zeros(len(prompts)), np.int64
            ),
            "action_mask": observation["action_mask"][rows],
        }
        actions = np.array([agent.legal.action(reply.tokens) for reply in replies], np.int64)
        return Thought(read, actions, np.array([reply.value for reply in replies], np.float32), ())

    def acted(self, actions: np.ndarray) -> None:
        """Nothing is repeated to it: a situation shows all that it is to know."""

    def propose(self, read: Read, states: tuple[np.ndarray, ...], most: int) -> list[np.ndarray]:
        """Distinct ones among `most` sampled commands."""
        learner, agent = self.learner, self.agent
        assert agent.legal is not None
        prompts, tries = [learner.prompts[place] for place in read["prompt"].tolist()], agent.legal.under(read["action_mask"])
        sampling = Sampling(learner.settings.temperature, 1.0, learner._room)
        drawn = [learner.backend.sample(prompts, sampling, tries) for _ in range(most)]
        actions = [[agent.legal.action(reply.tokens) for reply in row] for row in zip(*drawn, strict=True)]
        return [np.array(list(dict.fromkeys(row)), np.int64) for row in actions]


class LanguageJudge(OwnJudge):
    """A copy of a language model that says how well a turn will end, or whether it is sound.

    Its logit is the command's log-probability and a linear function of the state after the command's last token, which begins
    at 0: what the model is unsure of, its judge doubts from the start.
    """

    batch_size, most = 64, 256

    def __init__(self, learner: LanguageLearner) -> None:
        super().__init__()
        self._turns = (learner.turns_of,)  # in a tuple, or the learner would be a part of the judge
        self.temperature = learner.settings.temperature
        self.learning_rate = learner.settings.learning_rate
        self.model = copy.deepcopy(learner.model).requires_grad_(True)
        self.head = nn.Linear(learner.model.config.get_text_config().hidden_size, 1).to(learner.model.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def logits(self, observations: Read, actions: np.ndarray) -> Tensor:
        return self.of(self._turns[0](observations, actions))

    def of(self, turns: Turns) -> Tensor:
        """(B,) logits of turns."""
        found = likelihood(self.model, turns, self.temperature)
        return found.log_probs.sum(1) + self.head(found.after.float())[:, 0]


class Live:
    """A judge that hears the environments which its model is playing in."""

    def __init__(self, learner: LanguageLearner, judge: LanguageJudge) -> None:
        self._learner, self._judge = learner, judge

    def probability(self, observation: Any, actions: np.ndarray) -> np.ndarray:
        """(N,) float32 of what is about to be done; `observation` is what the situations are rendered from."""
        everyone = np.arange(len(actions))
        prompts, masks = shown(self._learner, everyone), observation["action_mask"]
        legal = np.take_along_axis(masks, actions[:, None], 1)[:, 0].astype(bool)
        out = np.zeros(len(actions), np.float32)
        with torch.no_grad():
            for rows in _split(everyone[legal], self._judge.most):
                turns = self._learner.turns([prompts[i] for i in rows], masks[rows], actions[rows])
                out[rows] = self._judge.of(turns).sigmoid().float().cpu().numpy()
        return out


def shown(learner: LanguageLearner, rows: np.ndarray) -> list[list[int]]:
    """What the model is shown now in some of the environments that it plays in."""
    interface = learner.player.interface
    assert interface is not None
    return [learner.backend.prompter(interface.messages(i), learner._room) for i in rows.tolist()]


def _split(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
