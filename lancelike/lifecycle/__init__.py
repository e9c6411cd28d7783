"""What can be done to a table's vectors after they were written: plans, retries, checks, migrations."""
