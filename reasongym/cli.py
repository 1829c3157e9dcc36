"""`python -m reasongym`: list the ids, describe, play or serve one, audit rewards, test a PRM, play a benchmark, make a report.

Needs the extra `play`.
"""

from __future__ import annotations

import difflib
import sys
import traceback
from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium as gym

from reasongym.errors import PRMError, ReasonGymError, unknown
from reasongym.registration import IDS, TEXT_IDS

if TYPE_CHECKING:
    import typer

DEBUG = "--debug"
HEAD = f"Question answering under bounded working memory. With {DEBUG}, any command shows the traceback of an error."
HELP = "next | store K | update K | recall K | answer WORD | expert | help | quit"


def main() -> None:
    """Entry point of the command `reasongym`. With --debug, wherever it stands, an error is shown with its traceback."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app = build_app()
    except ImportError as missing:
        sys.exit(f"the command line needs {missing.name}, which is not installed; run: pip install 'reasongym[play]'")
    try:
        app(args=arguments)
    except (ReasonGymError, gym.error.Error, ValueError, ImportError) as error:
        if debug:
            traceback.print_exc()
        hint = f"\n({DEBUG} shows the traceback)" if isinstance(error, PRMError) and error.__cause__ and not debug else ""
        sys.exit(f"reasongym: {error}{hint}")


def build_app() -> typer.Typer:
    """The command line; each command is a function of this module."""
    import typer

    from reasongym.audit.command import command as audit
    from reasongym.audit.prm_sets_command import command as prm_sets
    from reasongym.bench import PASSED_ON
    from reasongym.bench import command as bench
    from reasongym.prm.bench.command import command as prm_bench
    from reasongym.report.command import command as report
    from reasongym.server.command import command as serve

    app = typer.Typer(add_completion=False, no_args_is_help=True, help=HEAD)
    app.command("list")(list_ids)
    app.command("info")(info)
    app.command("play")(play)
    app.command("audit")(audit)
    app.command("prm-bench")(prm_bench)
    app.command("prm-sets")(prm_sets)
    app.command("bench", context_settings=PASSED_ON)(bench)
    app.command("report")(report)
    app.command("serve")(serve)
    return app


def list_ids() -> None:
    """List the registered ids."""
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "data set", "tasks")
    for env_id, arguments in {**IDS, **TEXT_IDS}.items():
        tasks: Any = arguments.get("tasks", ())
        table.add_row(env_id, str(arguments["dataset"]), ", ".join(map(str, tasks)) or "all")
    Console().print(table)


def info(env_id: str, split: str = "train", source: str = "procedural") -> None:
    """Describe an id: spaces, choices, problems, and the first problem."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    env = make(env_id, split=split, source=source)
    inner: Any = env.unwrapped
    settings = inner.batch.settings
    console = Console()
    facts = Table("", "", title=env_id, show_header=False)
    answers = f"ANSWER of {len(inner.choices)} choices"
    if not inner.choices:
        answers = f"START and END at one of {inner.batch.shapes.positions} places of the slot recalled last, ABSTAIN"
    rows = {
        "source": f"{inner.source.name} ({inner.num_problems or 'endless'} problems, fingerprint {inner.source.fingerprint})",
        "actions": f"{env.action_space}: NEXT; STORE, UPDATE, RECALL of {settings.memory_slots} slots; " + answers,
        **({"choices": ", ".join(inner.choices)} if inner.choices else {}),
        "vocabulary": f"{len(inner.source.vocabulary)} words",
        "weights": ", ".join(f"{name} {weight:g}" for name, weight in settings.weights.items())
        + f", memory {settings.utility_weight:g} ({settings.utility})",
    }
    for name, value in rows.items():
        facts.add_row(name, Text(value))
    console.print(facts)
    spaces: Any = env.observation_space
    if env_id in TEXT_IDS or not hasattr(spaces, "items"):
        observation, more = env.reset(seed=0)
        console.print(Text(more["system"]), Text("first observation:", style="bold"), Text(observation), sep="\n\n")
    else:
        observations = Table("observation", "shape", "type")
        for key, box in spaces.items():
            observations.add_row(key, str(box.shape), str(box.dtype))
        console.print(observations)
    problem = inner.source.problem(0)
    console.print(Text(f"problem 0, {problem.name}:", style="bold"))
    for i, unit in enumerate(problem.story.units[: problem.num_units]):
        needed = "*" if i in (problem.support or ()) else " "
        console.print(Text(f" {needed}{i + 1:3d} {unit}"))
    console.print(Text(f"  → {problem.question} {', '.join(problem.answers)}", style="cyan"))


def play(
    env_id: str,
    problem: int = -1,
    seed: int = 0,
    split: str = "train",
    source: str = "procedural",
    slots: int = 10,
    expert: bool = False,
) -> None:
    """Play an episode from the keyboard; --expert shows the expert's move at each step."""
    from rich.console import Console

    console = Console()
    env = make(env_id, split=split, source=source, memory_slots=slots, render_mode="human")
    inner: Any = env.unwrapped
    in_words = hasattr(inner, "interface")
    env.reset(seed=seed, options={"problem": problem} if problem >= 0 else None)
    console.print(HELP, style="dim")
    ended = False
    while not ended:
        if expert:
            best = inner.expert_action()
            console.print(f"expert: {best if in_words else words(inner, best)}", style="dim", markup=False)
        try:
            line = console.input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            break
        if line.lower() in ("quit", "exit", "q"):
            break
        if line.lower() in ("", "help", "?"):
            console.print(HELP, style="dim")
            continue
        try:
            typed = line if in_words else line.lower()
            action = inner.expert_action() if typed == "expert" else typed if in_words else parse(inner, typed)
        except ValueError as error:
            console.print(str(error), style="red", markup=False)
            continue
        _, reward, ended, _, told = env.step(action)
        if in_words:
            console.print(reward_line(reward, told), style="bold", markup=False)
    env.close()


def reward_line(reward: SupportsFloat, told: dict[str, Any]) -> str:
    """What a step of a text id brought, in words."""
    parts = [f"reward {float(reward):+.3f}", *(f"{name} {term:+.3f}" for name, term in told["reward_terms"].items() if term)]
    if "invalid_action" in told:
        parts.append(f"illegal: {told['invalid_action']}")
    if "answer" in told:
        parts.append(f"{'right' if told.get('is_success') else 'wrong'}, the answer is {told.get('gold', 'not known')}")
    return "; ".join(parts)


def make(env_id: str, **keywords: Any) -> gym.Env:
    """The environment of an id of this package; the version may be left out."""
    ids = {**IDS, **TEXT_IDS}
    name = env_id if env_id in ids else next((known for known in ids if known.rsplit("-v", 1)[0] == env_id), None)
    if name is None:
        raise unknown("id", env_id, ids, listed_by="`python -m reasongym list`")
    return gym.make(name, **keywords)


def parse(inner: Any, line: str) -> int:
    """The action that a command stands for.

    Raises:
        ValueError: it stands for none; the message says what is possible.
    """
    verb, _, argument = line.partition(" ")
    slots, argument = inner.batch.shapes.slots, argument.strip()
    if verb == "next" and not argument:
        return 0
    if verb in ("store", "update", "recall"):
        if not argument.isdigit() or not 1 <= int(argument) <= slots:
            raise ValueError(f"{verb} takes a slot from 1 to {slots}, got {argument!r}")
        return int(argument) + slots * ("store", "update", "recall").index(verb)
    if verb == "answer":
        choices = [choice.lower() for choice in inner.choices]
        if argument not in choices:
            near = difflib.get_close_matches(argument, choices, n=3) or choices
            raise ValueError(f"{argument!r} is none of the {len(choices)} answers; try {', '.join(near)}")
        return 1 + 3 * slots + choices.index(argument)
    raise ValueError(f"unknown command {line!r}; commands: {HELP}")


def words(inner: Any, action: int) -> str:
    """An action as the command that stands for it."""
    slots = inner.batch.shapes.slots
    if action == 0:
        return "next"
    if action > 3 * slots:
        return f"answer {inner.choices[action - 1 - 3 * slots]}"
    return f"{('store', 'update', 'recall')[(action - 1) // slots]} {(action - 1) % slots + 1}"
