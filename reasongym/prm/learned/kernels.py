"""Relations and attention of new steps, compiled: what `step_encoder.relations` and `step_transformer.Layer` do, on a CPU.

A new step attends to the nodes of its path, which lie scattered in the pool. Gathering them into padded arrays for matrix
products took most of a step's time: few words of two steps are the same, and paths differ in length. These kernels walk the
paths where they lie. Axes: n new steps, T nodes of a path, the last of them the step's own, W words, C channels, R relations,
H heads, D width. All numbers are float32 but where it says so.
"""

from __future__ import annotations

import math

import numpy as np

from reasongym.jit import entry_point


@entry_point
def relate(
    paths: np.ndarray,
    lengths: np.ndarray,
    text: np.ndarray,
    identity: np.ndarray,
    number: np.ndarray,
    widths: np.ndarray,
    gates: np.ndarray,
    relations: np.ndarray,
) -> None:
    """Writes the relations of new steps with the nodes of their paths.

    Args:
        paths: (n, T) int64 nodes, padded at the end.
        lengths: (n,) int64, nodes of each path.
        text: (nodes,) int64, the row of a node's words in the arrays that follow.
        identity: (rows, W) int64, 0: none that counts.
        number: (rows,) int64.
        widths: (rows,) int64, words of a row.
        gates: (rows, W, 2 C), those that ask before those that offer.
        relations: (n, T, R) of zeros, written in place.
    """
    C = gates.shape[2] // 2
    for i in range(paths.shape[0]):
        last = lengths[i] - 1
        mine = text[paths[i, last]]
        for t in range(last + 1):
            theirs = text[paths[i, t]]
            for w in range(widths[mine]):
                if identity[mine, w] == 0:
                    continue
                for v in range(widths[theirs]):
                    if identity[mine, w] == identity[theirs, v]:
                        for c in range(C):
                            relations[i, t, c] += gates[mine, w, c] * gates[theirs, v, C + c]
            for c in range(C):
                if relations[i, t, c] != 0:
                    relations[i, t, c] = math.tanh(relations[i, t, c])
            here, there = number[mine], number[theirs]
            if here > 0 and there > 0:
                relations[i, t, C] = here == there
                relations[i, t, C + 1] = there > here
                relations[i, t, C + 2] = there < here
                relations[i, t, C + 3] = math.log1p(abs(there - here)) / 4
            relations[i, t, C + 4] = math.log1p(last - t) / 4
            relations[i, t, C + 5] = t == last


@entry_point
def attend(
    layer: int,
    paths: np.ndarray,
    lengths: np.ndarray,
    queries: np.ndarray,
    memory: np.ndarray,
    bias: np.ndarray,
    relations: np.ndarray,
    weights: np.ndarray,
    read: np.ndarray,
    seen: np.ndarray,
) -> None:
    """Attention of new steps over the nodes of their paths.

    Args:
        layer: which.
        paths, lengths: as in `relate`.
        queries: (n, D), scaled.
        memory: (nodes, layers, 2, D) keys and values.
        bias: (H, R), what a relation adds to a logit.
        relations: (n, T, R).
        weights: (T,) to work in.
        read: (n, D) of zeros: the values that were attended to are written here.
        seen: (n, H, R) of zeros: and their relations here.
    """
    H, R = bias.shape
    d = queries.shape[1] // H
    for i in range(paths.shape[0]):
        for h in range(H):
            most = np.float32(-np.inf)
            for t in range(lengths[i]):
                node = paths[i, t]
                logit = np.float32(0)
                for e in range(h * d, (h + 1) * d):
                    logit += queries[i, e] * memory[node, layer, 0, e]
                for r in range(R):
                    logit += bias[h, r] * relations[i, t, r]
                weights[t] = logit
                if logit > most:
                    most = logit
            total = np.float32(0)
            for t in range(lengths[i]):
                weights[t] = math.exp(weights[t] - most)
                total += weights[t]
            for t in range(lengths[i]):
                node, share = paths[i, t], weights[t] / total
                for e in range(h * d, (h + 1) * d):
                    read[i, e] += share * memory[node, layer, 1, e]
                for r in range(R):
                    seen[i, h, r] += share * relations[i, t, r]
