"""Make the tables from the records: python scripts/make_tables.py [STUDY ...]"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("tables", sys.argv[1:])
