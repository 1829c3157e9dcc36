"""The exploit audit: what scripted policies earn that do not do what the reward is for, beside the expert.

`policies` are the players, `play` plays them over a list of problems, `accuracy` measures baselines on held-out problems,
`bounds` checks two promises of the default reward, `written` holds the players of the text ids, `report` puts a task's numbers
together, `command` is the command line.
"""
