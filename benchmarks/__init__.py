"""What lancelike costs and gains beside pylance, lancedb and a bare model, measured in one interleaved run.

`python -m benchmarks` writes `docs/benchmarks.md`; `--quick` prints a shorter run instead. A study is a module with a
`run(scale)` that returns a `Section`; a contestant is one small class in `contestants.py`.
"""
