"""``python -m vidlang``."""

from vidlang.cli.app import main

if __name__ == "__main__":
    main()
