"""The text interface: the same environments, strings in and out. Ids `ReasonGymText-...`; see docs/text.md."""
