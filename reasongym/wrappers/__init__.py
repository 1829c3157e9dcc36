"""Wrappers: flat and embedded observations, and trajectories on disk; each for one environment and for a vector."""

from reasongym.wrappers.embed import EmbedObservation, VectorEmbedObservation
from reasongym.wrappers.flatten import FlattenTokens, VectorFlattenTokens
from reasongym.wrappers.record import RecordTrajectories, VectorRecordTrajectories

__all__ = [
    "EmbedObservation",
    "FlattenTokens",
    "RecordTrajectories",
    "VectorEmbedObservation",
    "VectorFlattenTokens",
    "VectorRecordTrajectories",
]
