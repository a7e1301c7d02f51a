"""`python -m misas`: the command line"""

from misas.cli import main

main()
