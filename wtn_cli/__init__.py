"""The terminal side of wtn: one module per command, and nothing else prints."""

__version__ = "0.1.0"
