"""`python -m reasongym`."""

from reasongym.cli import main

if __name__ == "__main__":
    main()
