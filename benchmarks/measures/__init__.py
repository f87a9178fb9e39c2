"""One file per benchmark, each with a function ``measure(bench, **sizes)`` that yields rows."""
