"""A table and the forms it is written in: text, Markdown, LaTeX, CSV, HTML."""

from __future__ import annotations

import csv
import html
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from ciranda.core.errors import ExperimentError

Cell = str | float | int | None
FORMATS = ("text", "markdown", "latex", "csv", "json")
_LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "<": "$<$", ">": "$>$"}
    | {char: f"\\{char}" for char in "&%$#_{}"}
)


@dataclass(frozen=True)
class Table:
    """Cells as people read them, and as programs do.

    Attributes:
        head, rows: what people read. `words` are the places of columns of words, which are aligned left; the others right.
        keys, values: the same columns or finer ones for programs, where a missing number is None. `notes` stand below the table.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: Sequence[str]
    values: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    words: Sequence[int] = (0,)

    def written(self, form: str) -> str:
        """The table in one of FORMATS, ending in a line break. Raises ExperimentError for another."""
        match form:
            case "text":
                return self.text()
            case "markdown":
                return self.markdown()
            case "latex":
                return self.latex()
            case "csv":
                return self.csv()
            case "json":
                return json.dumps({"rows": self.plain(), "notes": list(self.notes)}, indent=2, ensure_ascii=False) + "\n"
        raise ExperimentError("--format {form} is not known.", form=form, hint="It is one of: {forms}.", forms=", ".join(FORMATS))

    def text(self) -> str:
        table = [self.head, *self.rows]
        widths = [max(_width(row[column]) for row in table) for column in range(len(self.head))]
        lines = [
            "  ".join(
                _padded(cell, width, left=place in self.words) for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join([lines[0], rule, *lines[1:], *([""] if self.notes else []), *self.notes]) + "\n"

    def markdown(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

        rule = "|" + "|".join("---" if place in self.words else "--:" for place in range(len(self.head))) + "|"
        return "\n".join([line(self.head), rule, *map(line, self.rows), *(line for note in self.notes for line in ("", note))]) + "\n"

    def latex(self) -> str:
        """A tabular for the package booktabs."""

        def line(cells: Sequence[str]) -> str:
            return "  " + " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"

        body = [line(self.head), r"  \midrule", *map(line, self.rows)]
        notes = [f"% {note}" for note in self.notes]
        columns = "".join("l" if place in self.words else "r" for place in range(len(self.head)))
        return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"  \toprule", *body, r"  \bottomrule", r"\end{tabular}", *notes]) + "\n"

    def csv(self) -> str:
        """Keys and plain numbers, for programs."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.keys)
        writer.writerows([["" if cell is None else cell for cell in row] for row in self.values])
        return stream.getvalue()

    def plain(self) -> list[dict[str, Cell]]:
        """The rows for programs, each as key -> value."""
        return [dict(zip(self.keys, row, strict=True)) for row in self.values]

    def html(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            aligned = (
                f'<{tag} style="text-align:{"left" if place in self.words else "right"}">{html.escape(cell)}</{tag}>'
                for place, cell in enumerate(cells)
            )
            return f"<tr>{''.join(aligned)}</tr>"

        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><thead>{line(self.head, 'th')}</thead><tbody>{''.join(line(row, 'td') for row in self.rows)}</tbody></table>{notes}"


class Shown(ABC):
    """What a notebook shows as its table: a base for results that have one."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """The result as a table."""

    @property
    def rows(self) -> list[dict[str, Cell]]:
        """The table's rows as dicts; `pandas.DataFrame(result.rows)` is a data frame."""
        return self.table.plain()

    def __repr__(self) -> str:
        return self.table.text().rstrip("\n")

    def _repr_markdown_(self) -> str:
        return self.table.markdown()

    def _repr_html_(self) -> str:
        return self.table.html()


def _width(text: str) -> int:
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text
