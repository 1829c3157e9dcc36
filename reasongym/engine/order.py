"""Which problem an environment plays in its n-th episode: a permutation per epoch that takes no memory.

A permutation of [0, n) for every (seed, environment, epoch) would need n numbers each; a four-round Feistel network on the
next even power of two, walked along its cycle back into the range (Black & Rogaway, 2002), gives the same in a few
nanoseconds. So nothing depends on the number of environments, and every problem comes once an epoch.
"""

from __future__ import annotations

import numpy as np

from reasongym.jit import scalar_function

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)


@scalar_function
def mix(x):
    """SplitMix64's finaliser: a bijection of 64-bit integers that scatters neighbours."""
    x = np.uint64(x) + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _A
    x = (x ^ (x >> np.uint64(27))) * _B
    return x ^ (x >> np.uint64(31))


@scalar_function
def problem_at(seed, stream, episode, num_problems):
    """Index of the problem that environment `stream` plays in its `episode`-th episode (from 0).

    With `num_problems` = 0 (endless) the index is a hash in [0, 2^62).
    """
    key = mix(np.uint64(seed) ^ mix(np.uint64(stream)))
    if num_problems <= 0:
        return np.int64(mix(key ^ mix(np.uint64(episode))) >> np.uint64(2))
    key = mix(key ^ mix(np.uint64(episode // num_problems)))
    half = np.uint64(1)
    while (np.int64(1) << np.int64(np.uint64(2) * half)) < num_problems:
        half += np.uint64(1)
    low = (np.uint64(1) << half) - np.uint64(1)
    value = np.uint64(episode % num_problems)
    while True:
        left, right = value >> half, value & low
        for round_ in range(4):
            left, right = right, left ^ (mix(right ^ mix(key + np.uint64(round_))) & low)
        value = (left << half) | right
        if np.int64(value) < num_problems:
            return np.int64(value)
