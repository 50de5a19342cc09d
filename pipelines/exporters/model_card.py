"""The README.md of an exported folder, in the form of a Hugging Face model card."""

from collections import Counter

from pipelines.exporters.base import PlainDetector

_NAMED = 8  # classes of a group that the card names


def model_card(source: PlainDetector) -> str:
    """Return the card: what the detector is, how it is run, and what it was made from."""
    head, settings = source.head, source.settings
    return "\n".join(
        [
            "---",
            "library_name: wtn",
            "pipeline_tag: object-detection",
            "license: unknown",
            "tags: [faster-rcnn, open-vocabulary, weight-transfer]",
            "---",
            "",
            f"# Faster R-CNN, {settings.backbone.name}, {len(head.vocabulary):,} classes",
            "",
            "A plain Faster R-CNN with a sigmoid for every class, several labels for a box and one "
            f"box for all classes. Its class rows were made by `{source.method}` from the last "
            "layer of a classifier.",
            "",
            "| classes | | such as |",
            "| --- | --- | --- |",
            *_groups(source),
            "",
            "A seen class had boxes and a classifier row in training, a novel one only the row, an "
            "other one only boxes.",
            "",
            "```sh",
            "pip install wtn-cli",
            "wtn predict photo.jpg --checkpoint THIS_FOLDER --save drawn",
            "```",
            "",
            "`config.json` tells the architecture, `classes.json` the class of each row, "
            "`preprocessor_config.json` how images are prepared; `model.safetensors` has the "
            "weights by torchvision's names. The score of a class is "
            "`sigmoid(x @ cls_score.weight.T + cls_score.bias)`.",
            "",
            "## Made from",
            "",
            *_sources(source),
            "",
            "## Licence and evaluation",
            "",
            "The licence depends on the classifier and the data it was trained on; state it here "
            "and in the first lines. No figure is given, since none was measured with this export: "
            "`wtn evaluate` measures.",
            "",
        ]
    )


def _groups(source: PlainDetector) -> list[str]:
    head = source.head
    rows = []
    for group, count in Counter(head.groups).items():
        names = [n for n, g in zip(head.vocabulary.names, head.groups, strict=True) if g == group]
        named = ", ".join(name.replace("|", "/") for name in names[:_NAMED])
        rows.append(f"| {group} | {count:,} | {named} |")
    return rows


def _sources(source: PlainDetector) -> list[str]:
    parents = source.head.provenance.get("parents", [])
    return [f"- {p['role']} `{p['path']}`, SHA-256 `{p['sha256']}`" for p in parents]
