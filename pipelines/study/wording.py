"""How numbers of things are told."""


def counted(number: int, noun: str) -> str:
    """Return ``1 seed`` or ``3 seeds``."""
    return f"{number} {noun}{'s' * (number != 1)}"
