"""Declaring tables with pydantic, under LanceDB's import path."""

from lancelike.schema import FixedSizeListMixin, LanceModel, MultiVector, Vector, pydantic_to_schema

__all__ = ["FixedSizeListMixin", "LanceModel", "MultiVector", "Vector", "pydantic_to_schema"]
