"""Which ways to train faster the benchmark tries one at a time, against the defaults."""

from collections.abc import Mapping

import torch

from pipelines.benchmarks.train_runs import Contestant
from pipelines.benchmarks.train_setup import TrainSetup
from pipelines.errors import ConfigError
from pipelines.training.acceleration import refuse_without_compiler

DEFAULT, COMPILED = "default", "with compile"
_METHOD = "ae-wtn"


def contestants(setup: TrainSetup) -> Mapping[str, Contestant]:
    """Return the defaults, and each variant by what it changes of them.

    ``without`` marks what the defaults have, ``with`` what they have not.
    """
    found = {
        DEFAULT: Contestant(_METHOD),
        "without fused optimizers": Contestant(_METHOD, {"fused": False}),
        "without uint8 images": Contestant(_METHOD, float_images=True),
        "with channels_last": Contestant(_METHOD, {"channels_last": True}),
        COMPILED: Contestant(_METHOD, {"compile": True}),
        "with bfloat16": Contestant(_METHOD, {"precision": "bfloat16"}),
    }
    if torch.device(setup.device).type == "cuda":
        found["with float16"] = Contestant(_METHOD, {"precision": "float16"})
        found["with bfloat16 and channels_last"] = Contestant(
            _METHOD, {"precision": "bfloat16", "channels_last": True}
        )
    if setup.images > 1:
        found["with a pass for each image"] = Contestant(_METHOD, {"accumulation": setup.images})
    return found


def reasons_to_skip(setup: TrainSetup, variants: Mapping[str, Contestant]) -> dict[str, str]:
    """Return why a variant cannot run here, found out before anything is measured."""
    if COMPILED not in variants:
        return {}
    try:
        refuse_without_compiler(torch.device(setup.device))
    except ConfigError as error:
        return {COMPILED: error.what}
    return {}
