"""`python -m transformer_calculator`: the command line."""

import sys

from calculator.cli import main

if __name__ == "__main__":
    sys.exit(main(program="python -m transformer_calculator"))
