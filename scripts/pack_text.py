"""Make the packed play of the package from a plain text of Hamlet: `python scripts/pack_text.py HAMLET.txt [FOLDER]`.

The text is that of Project Gutenberg (etext98/2ws2610), in the public domain, as the package shakespeare 0.6 carries it, without
Gutenberg's header and licence. Titles of acts and scenes and stage directions go; a speech stays as it is, after its speaker's name.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src/ciranda/tasks/datasets/files"
_SPEAKER = re.compile(r"[A-Z0-9][A-Za-z0-9]*( [A-Za-z]+)?( and [A-Z][a-z]+)?\.")
_HEADING = re.compile(r"(ACT [IV]+|Scene [IVX]+)\..*")
_DIRECTION = re.compile(r"\[[^\]]*\]")


def speeches(text: str) -> list[tuple[str, str]]:
    """(speaker, lines) in the order of the play."""
    text = text[text.index("ACT I.") :].replace("\r\n", "\n")
    text = _DIRECTION.sub("", text)
    found: list[tuple[str, list[str]]] = []
    blank = True
    for line in (line.strip() for line in text.split("\n")):
        if _HEADING.fullmatch(line):
            blank = True
        elif blank and _SPEAKER.fullmatch(line):
            found.append((line.rstrip("."), []))
            blank = False
        elif line and found:
            found[-1][1].append(line)
            blank = False
        else:
            blank = True
    return [(speaker, "\n".join(lines)) for speaker, lines in found if lines]


def main(source: Path, folder: Path) -> None:
    """Write hamlet.txt.gz, whole."""
    found = speeches(source.read_text(encoding="utf-8"))
    plain = "\n\n".join(f"{speaker}.\n{lines}" for speaker, lines in found) + "\n"
    part = folder / "hamlet.txt.gz.part"
    with part.open("wb") as file:
        file.write(gzip.compress(plain.encode(), mtime=0))
        os.fsync(file.fileno())
    part.replace(folder / "hamlet.txt.gz")
    print(f"{folder / 'hamlet.txt.gz'}: {len(found)} speeches, {len(plain)} characters")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER)
