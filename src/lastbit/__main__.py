"""`python -m lastbit`: the command line, where the command itself is not on the path."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
    # `python -m` puts the working directory first: a script there called html.py or queue.py would be run in place of
    # the standard library's. The command `lastbit` has no such entry.
    del sys.path[0]

from lastbit.cli import main

if __name__ == "__main__":
    sys.exit(main())
