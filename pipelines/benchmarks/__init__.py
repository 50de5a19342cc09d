"""What the project promises, measured: each figure with its limit or its peer in the same run."""
