"""What more machines give."""

from typing import Any

from readme_tables.markdown import table


def ray(result: dict[str, Any]) -> str:
    """What one and two workers give, measured, and what the driver needs."""
    scoring, sweep = result["scoring"], result["sweep"]
    driver_step, driver_run = 1e6 * result["driver_seconds_a_step"], 1e3 * result["driver_seconds_a_run"]
    workers = [f"{i} workers" for i in range(3)]
    runs = ["", *(f"{sweep[name]:.1f}" for name in workers[1:]), f"{driver_run:.1f} ms a run"]
    steps = [*(f"{scoring[name]:,.0f}" for name in workers), f"{driver_step:.0f} µs a step"]
    rows = [("runs of a few CPU seconds, a minute", *runs), ("steps scored a second, 1 ms each", *steps)]
    return table(("", "no worker", "1 worker", "2 workers", "the driver alone"), rows, left=("",))


def clusters(result: dict[str, Any]) -> str:
    """What clusters would give, simulated from the measured rates."""
    rows = []
    for nodes in (10, 100, 1000):
        found = result[f"{nodes} nodes"]
        cells = [f"{nodes:,}"]
        for sweep in (found["sweep"], found["ten_thousand_runs"]):
            cells += [f"{sweep['hours']:.2f}", f"{100 * sweep['busy']:.0f}%"]
        again, steps = found["ten_thousand_runs"]["played_again"], found["scoring"]["steps_per_second"]
        rows.append((*cells, again, f"{steps:,}"))
    head = ("nodes", "`core`, hours", "CPUs busy", "10,000 runs, hours", "CPUs busy", "played again", "steps scored a second")
    return table(head, rows)
