"""What users bring along: classes from their own files, or from packages that announce them as entry points."""
