"""What Ciranda costs beside a bare loop and other frameworks: `python -m benchmarks`. See README.md in this folder.

Only the standard library is imported here and in `work`, because contenders run in environments without Ciranda.
"""
