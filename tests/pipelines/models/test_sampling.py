"""Tests for pipelines.models.sampling: draws that depend on seed, iteration and image alone."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.models.sampling import Draw, SeededSampler, seed_of


def sampler(size: int = 8, fraction: float = 0.25, **draw: int) -> SeededSampler:
    """Return a sampler at a place of a training."""
    drawn = SeededSampler(size, fraction, stage=1)
    drawn.draw = Draw(**{"seed": 0, "iteration": 1, "first": 0} | draw)
    return drawn


def labels_of(*counts: int) -> torch.Tensor:
    """Return labels: so many positive, negative and ignored ones."""
    return torch.repeat_interleave(torch.tensor([2, 0, -1]), torch.tensor(counts))


@settings(max_examples=50, deadline=None)
@given(*(st.integers(0, 30) for _ in range(4)))
def test_as_many_as_torchvision_draws(
    positive: int, negative: int, ignored: int, seed: int
) -> None:
    """Positives up to their fraction, negatives for the rest, no more than there are, none else."""
    labels = labels_of(positive, negative, ignored)

    (found,), (background,) = sampler(seed=seed)([labels])

    assert int(found.sum()) == min(positive, 2)
    assert int(background.sum()) == min(negative, 8 - min(positive, 2))
    assert (labels[found] == 2).all()
    assert (labels[background] == 0).all()


def test_an_image_has_its_draw_wherever_its_batch_is_cut() -> None:
    """The third image of a batch is drawn as the first of a part that begins there."""
    labels = labels_of(10, 90, 5)

    whole = sampler()([labels] * 4)
    part = sampler(first=2)([labels] * 2)

    for masks, of_part in zip(whole, part, strict=True):
        assert torch.equal(torch.stack(masks[2:]), torch.stack(of_part))
    assert not torch.equal(whole[1][0], whole[1][1])


def test_seed_iteration_and_stage_decide() -> None:
    """Change one of them, and others are drawn; do not, and it is the same again."""
    labels = labels_of(10, 90, 5)
    other_stage = SeededSampler(8, 0.25, stage=2)
    other_stage.draw = Draw(0, 1, 0)
    samplers = [sampler(), sampler(seed=1), sampler(iteration=2), sampler(first=1), other_stage]

    drawn = {tuple(one([labels])[1][0].nonzero().flatten().tolist()) for one in samplers}

    assert len(drawn) == 5
    assert torch.equal(sampler()([labels])[1][0], sampler()([labels])[1][0])


def test_one_label_more_changes_one_draw_at_most() -> None:
    """Where rounding turns a positive into a negative, the others stay drawn as they were."""
    labels = labels_of(0, 100, 0)
    changed = labels.clone()
    changed[40] = -1

    before, after = (sampler()([one])[1][0] for one in (labels, changed))

    assert int((before != after).sum()) in (0, 2)


def test_every_candidate_is_as_likely() -> None:
    """Over 500 steps, each of 20 candidates is drawn 8 times in 20, within five deviations."""
    labels = labels_of(0, 20, 0)
    counts = sum(sampler(iteration=step)([labels])[1][0].long() for step in range(500))

    deviation = (500 * 0.4 * 0.6) ** 0.5
    assert (counts - 200).abs().max() < 5 * deviation


def test_outside_of_a_training_the_draws_are_pytorchs() -> None:
    """A sampler that nobody told where it is draws anew each time."""
    labels, free = labels_of(0, 100, 0), SeededSampler(8, 0.25, stage=1)

    torch.manual_seed(0)
    first, second = (free([labels])[1][0] for _ in range(2))
    torch.manual_seed(0)

    assert not torch.equal(first, second)
    assert torch.equal(first, free([labels])[1][0])


def test_seeds_differ_in_their_lower_half() -> None:
    """PyTorch's generator on a CPU reads no more than that of a seed."""
    seeds = {seed_of(0, iteration, image, 1) for iteration in range(50) for image in range(20)}

    assert len({seed % 2**32 for seed in seeds}) == 1000
