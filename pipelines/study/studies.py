"""The studies by name: their rows, what is measured on them, and what the paper reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.config import Metric
from pipelines.errors import ConfigError, did_you_mean
from pipelines.study import paper, variants
from pipelines.study.paper import Figures
from pipelines.study.variants import Variant

Kind = Literal["detection", "lengths", "norms", "overlaps"]
SAMPLED, LOSS = "sampled", "loss_classifier"  # beside the names in the paper's tables
_WITH_LOSS = {
    name: {**figures, LOSS: paper.TRAINING_LOSS[name]} if name in paper.TRAINING_LOSS else figures
    for name, figures in paper.TABLE1.items()
}


_AVERAGED: Mapping[Metric, str] = {
    "oid": "averaged over all classes with boxes; the official release leaves out classes that are "
    "never detected, which can only raise it",
    "aewtn-release": "averaged over the classes that are ever detected. Both are as the evaluator "
    "of the official release has them, which is the paper's",
}


@dataclass(frozen=True)
class Study:
    """One question to a world.

    Args:
        name: On the command line.
        title: Of its table.
        variants: Its rows.
        kind: What is measured: detection, detection over lengths of training, norms of hidden
            activations, or overlaps of neighbourhoods.
        paper: The paper's figures, by variant.
    """

    name: str
    title: str
    variants: tuple[Variant, ...]
    kind: Kind = "detection"
    paper: Mapping[str, Figures] = field(default_factory=dict)

    def unit(self, metric: Metric) -> str:
        """Return what its figures are, in words.

        Args:
            metric: That judges the detections.
        """
        if self.kind == "norms":
            return (
                "L2 norms of a class's hidden activations: their mean and variance over classes; "
                "the paper's last column is the ratio of its variances"
            )
        if self.kind == "overlaps":
            return "How many of a class's nearest classes stay its nearest in the transferred rows"
        return (
            "AP50 and AR50 in percent. AR50 is the recall of the 100 best detections of an image, "
            f"{_AVERAGED[metric]}. The loss is that of classification, averaged over the last "
            "eighteenth of the training"
        )

    @property
    def evaluates(self) -> bool:
        """Whether its rows are evaluated, and not only trained."""
        return self.kind in ("detection", "lengths")


STUDIES = {
    study.name: study
    for study in (
        Study("table1", "Methods (the paper's Table 1)", variants.TABLE1, paper=_WITH_LOSS),
        Study("table2", "What WTN+ adds (the paper's Table 2)", variants.TABLE2,
              paper=paper.TABLE2),
        Study("table3", "Norms of hidden activations (the paper's Table 3)", variants.TABLE3,
              "norms", paper.TABLE3),
        Study("fig4", "Neighbours kept by the transfer (the paper's Figure 4)", variants.FIGURE4,
              "overlaps", {name: {SAMPLED: kept} for name, kept in paper.FIGURE4.items()}),
        Study("length", "Length of training", variants.LENGTH, "lengths"),
        Study("spread", "Spread of the classifier's row lengths", variants.SPREAD),
        Study("start", "Initialisation of the transfer network", variants.START),
        Study("beyond", "Beyond AE-WTN", variants.BEYOND),
        Study("switches", "Switches of AE-WTN", variants.SWITCHES),
    )
}  # fmt: skip


def find_study(name: str) -> Study:
    """Return a study.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in STUDIES:
        known = ", ".join(STUDIES)
        mend = " ".join(filter(None, [did_you_mean(name, STUDIES), f"Studies: {known}."]))
        raise ConfigError(f"there is no study {name!r}", mend=mend)
    return STUDIES[name]
