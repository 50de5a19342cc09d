"""The README.md of an exported folder, in the form of a Hugging Face model card."""

from pipelines.exporters.base import PlainDetector
from pipelines.model_card import class_table, front_matter, sources


def model_card(source: PlainDetector) -> str:
    """Return the card: what the detector is, how it is run, and what it was made from."""
    head, settings = source.head, source.settings
    return "\n".join(
        [
            *front_matter(),
            f"# Faster R-CNN, {settings.backbone.name}, {len(head.vocabulary):,} classes",
            "",
            "A plain Faster R-CNN with a sigmoid for every class, several labels for a box and one "
            f"box for all classes. Its class rows were made by `{source.method}` from the last "
            "layer of a classifier.",
            "",
            *class_table(head.vocabulary, head.groups),
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
            *sources(head.provenance),
            "",
            "## Licence and evaluation",
            "",
            "The licence depends on the classifier and the data it was trained on; state it here "
            "and in the first lines. No figure is given, since none was measured with this export: "
            "`wtn evaluate` measures.",
            "",
        ]
    )
