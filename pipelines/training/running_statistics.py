"""What a pass over images changes by itself, before any optimizer does."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics:
    """Those of batch norm, as something that can be put back.

    Args:
        model: Frozen batch norm has none that change.
    """

    def __init__(self, model: nn.Module) -> None:
        norms = (module for module in model.modules() if isinstance(module, _BatchNorm))
        self._now = [buffer for norm in norms for buffer in norm.buffers()]
        self._before: list[Tensor] = []

    def remember(self) -> None:
        """Note what :meth:`restore` will put back."""
        self._before = [buffer.clone() for buffer in self._now]

    @property
    def of_batches(self) -> list[Tensor]:
        """The means and variances, without the counts."""
        return [buffer for buffer in self._now if buffer.is_floating_point()]

    def restore(self) -> None:
        """Put back what there was."""
        for now, before in zip(self._now, self._before, strict=True):
            now.copy_(before)
