"""Rows of a table split, shuffled and filtered for training, read when they are asked for and never copied."""

from lancelike.permutation.builder import PermutationBuilder, permutation_builder
from lancelike.permutation.formats import Transforms
from lancelike.permutation.permutation import DEFAULT_BATCH_SIZE, Permutation, Permutations

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "Permutation",
    "PermutationBuilder",
    "Permutations",
    "Transforms",
    "permutation_builder",
]
