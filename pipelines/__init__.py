"""The stages of wtn and all they need; nothing in here knows the terminal."""
