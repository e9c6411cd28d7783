"""A table as a stream of rows for torch, the same whatever the number of processes, and resumable anywhere."""

from lancelike.streaming.dataset import StreamingDataset
from lancelike.streaming.loader import StreamingDataLoader

__all__ = ["StreamingDataLoader", "StreamingDataset"]
