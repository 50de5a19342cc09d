"""Run ``python -m wtn_cli`` as ``wtn``."""

from wtn_cli.app import main

main()
