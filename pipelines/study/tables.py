"""Tables of a study: what each method reached over seeds, beside what the paper reports."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pipelines.study.ranks import spearman

NOTHING = "-"


@dataclass(frozen=True)
class Metric:
    """One column of figures.

    Args:
        name: Its key in rows and in JSON.
        title: Its heading.
        paper_title: The heading of the paper's figures, which are often of other data.
        best: Which figure stands out, if any does.
        decimals: Shown.
    """

    name: str
    title: str
    paper_title: str = "paper"
    best: Literal["highest", "lowest"] | None = "highest"
    decimals: int = 2


@dataclass(frozen=True)
class Summary:
    """Some seeds' figures: their mean, sample standard deviation and number; NaN where undefined.

    The deviation is NaN below two seeds, the mean below one.
    """

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Summary":
        """Summarise the figures of seeds; one that is NaN is missing."""
        known = [value for value in values if not math.isnan(value)]
        return cls(
            statistics.fmean(known) if known else math.nan,
            statistics.stdev(known) if len(known) > 1 else math.nan,
            len(known),
        )

    def text(self, decimals: int) -> str:
        """Return the mean, with the deviation if there is one."""
        if not self.count:
            return NOTHING
        return _number(self.mean, decimals) + self.spread(decimals)

    def spread(self, decimals: int) -> str:
        """Return the deviation as it stands behind a mean, or nothing."""
        if self.count < 2:
            return ""
        shown_as_0 = not float(f"{self.mean:.{decimals}f}")
        fixed = f"{self.deviation:.{decimals}f}"
        return f" ± {_number(self.deviation, decimals) if shown_as_0 else fixed}"


@dataclass(frozen=True)
class TableRow:
    """One method.

    Args:
        name: Its key in JSON.
        title: Its name in the table.
        values: By metric, one figure a seed; a metric may be missing.
        paper: By metric, the paper's figure; None or missing where it has none.
    """

    name: str
    title: str
    values: Mapping[str, tuple[float, ...]]
    paper: Mapping[str, float | None]

    def summary(self, metric: str) -> Summary:
        """Summarise the seeds of a metric."""
        return Summary.of(self.values.get(metric, ()))

    def in_paper(self, metric: str) -> float:
        """Return the paper's figure, or NaN."""
        value = self.paper.get(metric)
        return math.nan if value is None else value


@dataclass(frozen=True)
class RankAgreement:
    """How alike two columns order the rows that both have.

    Args:
        spearman: The rank correlation, -1 to 1; None for fewer than three rows, or if all are
            equal in one of the columns.
        rows: Rows that both columns have.
    """

    spearman: float | None
    rows: int


@dataclass(frozen=True)
class Table:
    """Methods by metrics.

    Args:
        name: Of the study, such as ``table1``.
        metrics: The columns.
        rows: The methods.
    """

    name: str
    metrics: tuple[Metric, ...]
    rows: tuple[TableRow, ...]

    @cached_property
    def seeds(self) -> int:
        """The most seeds that any figure has."""
        return max(
            (row.summary(metric.name).count for row in self.rows for metric in self.metrics),
            default=0,
        )

    def has_paper(self, metric: Metric) -> bool:
        """Whether the paper has a figure for any row."""
        return any(not math.isnan(row.in_paper(metric.name)) for row in self.rows)

    def rank_agreement(self, metric: Metric) -> RankAgreement:
        """Compare the order of our means with that of the paper's figures."""
        pairs = [(row.summary(metric.name).mean, row.in_paper(metric.name)) for row in self.rows]
        both = [pair for pair in pairs if not any(map(math.isnan, pair))]
        ours, theirs = [pair[0] for pair in both], [pair[1] for pair in both]
        return RankAgreement(spearman(ours, theirs), len(both))

    def markdown(self, more: Sequence[Sequence[str]] = ()) -> str:
        """Render the table, with the rank agreement below it where the paper has figures.

        Args:
            more: Further columns: each a heading, and a cell for each row.
        """
        columns = [*self.columns("**"), *more]
        return "\n".join([*_aligned(columns), *self._agreement_lines()]) + "\n"

    def columns(self, emphasis: str = "") -> list[list[str]]:
        """Return each column's heading and cells, the best figures between two marks."""
        columns = [["method", *(row.title for row in self.rows)]]
        for metric in self.metrics:
            columns.append([metric.title, *self._our_cells(metric, emphasis)])
            if self.has_paper(metric):
                columns.append([metric.paper_title, *self._paper_cells(metric, emphasis)])
        return columns

    def as_dict(self) -> dict[str, object]:
        """Return the table as JSON values; what is undefined is null."""
        rows = [
            {
                "name": row.name,
                "title": row.title,
                "metrics": {m.name: _figures(row, m.name) for m in self.metrics},
            }
            for row in self.rows
        ]
        agreement = {m.name: vars(self.rank_agreement(m)) for m in self.metrics}
        return {"name": self.name, "rows": rows, "rank_agreement": agreement}

    def _our_cells(self, metric: Metric, emphasis: str) -> list[str]:
        summaries = [row.summary(metric.name) for row in self.rows]
        return [
            _emphasised(text, is_best, emphasis) + self._spread(summary, metric.decimals)
            for summary, (text, is_best) in zip(
                summaries, _texts([s.mean for s in summaries], metric), strict=True
            )
        ]

    def _paper_cells(self, metric: Metric, emphasis: str) -> list[str]:
        figures = [row.in_paper(metric.name) for row in self.rows]
        return [_emphasised(*text, emphasis) for text in _texts(figures, metric)]

    def _spread(self, summary: Summary, decimals: int) -> str:
        return summary.spread(decimals) + (
            f" (n = {summary.count})" if 0 < summary.count < self.seeds else ""
        )

    def _agreement_lines(self) -> list[str]:
        found = [(m.title, self.rank_agreement(m)) for m in self.metrics]
        texts = [
            f"{title} {agreement.spearman:.2f} ({agreement.rows} rows)"
            for title, agreement in found
            if agreement.spearman is not None
        ]
        return ["", f"Rank correlation with the paper (Spearman): {', '.join(texts)}."] * bool(
            texts
        )


def _number(value: float, decimals: int) -> str:
    """Return a figure as text; one that these decimals would show as 0 has its leading digit."""
    text = f"{value:.{decimals}f}"
    return text if float(text) or not value else f"{value:.1g}"


def _texts(figures: Sequence[float], metric: Metric) -> list[tuple[str, bool]]:
    """Return each figure as text, and whether it is the best as shown."""
    known = [figure for figure in figures if not math.isnan(figure)]
    texts = [NOTHING if math.isnan(f) else _number(f, metric.decimals) for f in figures]
    if metric.best is None or len(known) < 2:
        return [(text, False) for text in texts]
    best = max(known) if metric.best == "highest" else min(known)
    return [(text, text == _number(best, metric.decimals)) for text in texts]


def _emphasised(text: str, is_best: bool, emphasis: str) -> str:
    return f"{emphasis}{text}{emphasis}" if is_best else text


def _aligned(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; all columns but the first are flush right."""
    padded, rules = [], []
    for place, column in enumerate(columns):
        width = max(2, *map(len, column))  # a rule is a dash and a colon at least
        padded.append([f"{cell:>{width}}" if place else f"{cell:<{width}}" for cell in column])
        rules.append("-" * (width - 1) + (":" if place else "-"))
    head, *body = zip(*padded, strict=True)
    return [f"| {' | '.join(cells)} |" for cells in (head, rules, *body)]


def _figures(row: TableRow, metric: str) -> dict[str, object]:
    summary = row.summary(metric)
    numbers = {
        "mean": summary.mean,
        "standard_deviation": summary.deviation,
        "paper": row.in_paper(metric),
    }
    known = {key: None if math.isnan(value) else value for key, value in numbers.items()}
    seeds = [None if math.isnan(value) else value for value in row.values.get(metric, ())]
    return {**known, "count": summary.count, "seeds": seeds}
