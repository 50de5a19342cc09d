"""Run the evaluators that others compute their published figures with, on the same files.

Each runs from a checkout of its own repository, in a process of its own, on numpy and torch alone:
what its modules import but do not need to score boxes is replaced while they are imported.
"""

from collections.abc import Callable
from pathlib import Path

from pipelines.benchmarks import official_release, official_tensorflow
from pipelines.benchmarks.evaluation_files import EvaluationFiles
from pipelines.benchmarks.fresh_process import measure
from pipelines.benchmarks.official_result import OfficialResult
from pipelines.benchmarks.stand_ins import require_files
from pipelines.errors import RunError, WTNError


def run_tensorflow_challenge(
    checkout: Path, files: EvaluationFiles, *, group_of_weight: float = 1.0
) -> OfficialResult:
    """Run ``OpenImagesChallengeEvaluator`` of the TensorFlow Object Detection API.

    Args:
        checkout: Of https://github.com/tensorflow/models.
        files: What to score.
        group_of_weight: What finding a group of objects is worth.

    Raises:
        ConfigError: If the folder is not such a checkout.
        RunError: If the evaluator fails.
        WTNError: For bad files.
    """
    require_files(checkout, official_tensorflow.FILES, official_tensorflow.REPOSITORY)
    return _run(official_tensorflow.score, checkout, files, group_of_weight)


def run_release(checkout: Path, files: EvaluationFiles) -> OfficialResult:
    """Run ``do_openimages_evaluation`` of the AE-WTN release.

    Args:
        checkout: Of https://github.com/xternalz/AE-WTN.
        files: What to score.

    Raises:
        ConfigError: If the folder is not such a checkout.
        RunError: If the evaluator fails.
        WTNError: For bad files.
    """
    require_files(checkout, official_release.FILES, official_release.REPOSITORY)
    return _run(official_release.score, checkout, files)


def _run(
    score: Callable[..., OfficialResult], checkout: Path, *arguments: object
) -> OfficialResult:
    return measure(_guarded, score, checkout, *arguments).result


def _guarded(
    score: Callable[..., OfficialResult], checkout: Path, *arguments: object
) -> OfficialResult:
    """Score in the new process; whatever foreign code raises is an error of the run."""
    try:
        return score(checkout, *arguments)
    except WTNError:
        raise
    except Exception as error:
        raise RunError(
            f"the evaluator failed: {type(error).__name__}: {error}", where=checkout
        ) from error
