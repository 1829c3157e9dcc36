"""Process reward models: what scores a step, on which criteria, from which part of what has been seen.

    base, records       the contract of any PRM, with the batch of steps that it reads; steps of anybody, with labels
    annotated, lexical  the default, from support; and without annotation, from the words (`reading`, `natural`)
    correctness         labels of one criterion, by hindsight and causally; `keeping`: of what memory gained or lost
    combinators         PRMs made of PRMs; `weights`: how much each criterion counts
    rendering           a step of an environment in words
    learned/            `LearnedPRM`, trained on step labels
    judge/              `Judge`, another language model
    tree/               `TreePRM`, a reward tree with dynamic selection, and Pareto pairs
    formats/            files of records in five layouts
    evaluation, bench/  the numbers; the bench of `python -m reasongym prm-bench`

Take the three large ones, and what they are made of, from their rooms: `from reasongym.prm.tree import TreePRM, grow`.
"""
