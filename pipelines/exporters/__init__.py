"""Forms in which other programs take a detector; one module a form."""
