"""`python -m lancelike` is the command `lancelike`."""

from lancelike.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
