"""What a program ran on: hardware, versions, limits, git states, and whether training can run.

Nothing here imports torch before it is asked to, so that a broken torch is a finding, not a crash.
No user name, host name, folder or environment variable is ever recorded.
"""
