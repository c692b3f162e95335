"""What a report is made of, facts and tables of words, and how a notebook shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Row = Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Labelled lines under a title."""

    title: str
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Grid:
    """A table of words: the first `left` columns are text, the others numbers."""

    title: str
    columns: Row
    rows: Sequence[Row]
    total: Row | None = None
    remark: str = ""
    left: int = 1


Block = Facts | Grid


class Shown:
    """Shows itself in a notebook as the tables that `blocks` returns, and in a line as `summary`.

    A class has only to say both:

        class Fit(Shown):
            def blocks(self): return [Facts("Qwen3-8B on H100", [("fits", "yes")]), Grid(...)]
            def summary(self): return "Qwen3-8B on H100: fits"
    """

    def blocks(self) -> Sequence[Block]:
        """Facts and tables."""
        raise NotImplementedError

    def summary(self) -> str:
        """A line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"

    def _repr_html_(self) -> str:
        return to_html(self.blocks())


def to_html(blocks: Iterable[Block]) -> str:
    """The blocks as HTML tables that take the notebook's own style."""
    return "\n".join(_facts(b) if isinstance(b, Facts) else _grid(b) for b in blocks)


def escape(text: str) -> str:
    """The text as HTML shows it."""
    from html import escape as escaped  # only notebooks need it

    return escaped(text)


def _facts(facts: Facts) -> str:
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(label)}</th><td style="text-align:left">{escape(text)}</td></tr>'
        for label, text in facts.pairs
    )
    return f"<p><b>{escape(facts.title)}</b></p><table>{lines}</table>"


def _grid(grid: Grid) -> str:
    def line(cells: Row, tag: str) -> str:
        sides = ("left" if i < grid.left else "right" for i in range(len(cells)))
        said = (f'<{tag} style="text-align:{s}">{escape(c)}</{tag}>' for s, c in zip(sides, cells, strict=True))
        return f"<tr>{''.join(said)}</tr>"

    body = "".join(line(row, "td") for row in grid.rows)
    foot = f"<tfoot>{line(grid.total, 'th')}</tfoot>" if grid.total else ""
    remark = f"<p>{escape(grid.remark)}</p>" if grid.remark else ""
    title = f"<p><b>{escape(grid.title)}</b></p>" if grid.title else ""
    return f"{title}<table><thead>{line(grid.columns, 'th')}</thead><tbody>{body}</tbody>{foot}</table>{remark}"
