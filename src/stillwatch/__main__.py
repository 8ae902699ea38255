"""`python -m stillwatch`, the same as the command `stillwatch`."""

from stillwatch.cli import main

main()
