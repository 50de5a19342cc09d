"""What the cards of a detector have in common, in the form of Hugging Face model cards."""

from collections import Counter
from collections.abc import Sequence

from pipelines.provenance import Provenance
from pipelines.vocabulary import Vocabulary

_NAMED = 8  # classes of a group that a card names


def front_matter() -> list[str]:
    """Return the lines that programs read; the licence is for people to state."""
    return [
        "---",
        "library_name: wtn",
        "pipeline_tag: object-detection",
        "license: unknown",
        "tags: [faster-rcnn, open-vocabulary, weight-transfer]",
        "---",
        "",
    ]


def class_table(vocabulary: Vocabulary, groups: Sequence[str]) -> list[str]:
    """Return how many classes each group has and what they are called, and what a group is.

    Args:
        vocabulary: The classes.
        groups: ``seen``, ``novel`` or ``other`` for each.
    """
    return [
        "| classes | | such as |",
        "| --- | --- | --- |",
        *_groups(vocabulary, groups),
        "",
        "A seen class had boxes and a classifier row in training, a novel one only the row, an "
        "other one only boxes.",
        "",
    ]


def sources(provenance: Provenance) -> list[str]:
    """Return the files that something was made from."""
    parents = provenance.get("parents", [])
    return [f"- {p['role']} `{p['path']}`, SHA-256 `{p['sha256']}`" for p in parents]


def _groups(vocabulary: Vocabulary, groups: Sequence[str]) -> list[str]:
    rows = []
    for group, count in Counter(groups).items():
        names = [n for n, g in zip(vocabulary.names, groups, strict=True) if g == group]
        named = ", ".join(name.replace("|", "/") for name in names[:_NAMED])
        rows.append(f"| {group} | {count:,} | {named} |")
    return rows
