"""Data sets: where problems come from, made to order or read from published files.

datasets                            the data sets by name
babi, base, worlds/                 the twenty tasks, what a world is, and the worlds
squad2, narrativeqa, fairytaleqa    natural text, by its published layout
prose/                              passages and tales made to order
"""
