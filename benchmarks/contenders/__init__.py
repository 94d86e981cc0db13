"""One module for each contender: `python -m benchmarks.contenders.NAME` reads a Job on standard input and prints a Report."""
