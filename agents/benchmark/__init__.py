"""The benchmark: every agent on the same settings, with the same CPU seconds, over several seeds, played in parts and resumed.

In reading order: `suite` (what is played, from a committed file), `run` (one run, in a process of its own, with its `curve`,
`ledger` and `reward_models`), `queue` (many, side by side), `results` (what is there, and whether it belongs together),
`leaderboard` (what it says), `command` (the command line).
"""
