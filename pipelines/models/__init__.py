"""The detector, and every rule that turns classifier rows into detector rows."""
