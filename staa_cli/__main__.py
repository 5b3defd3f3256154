"""`python -m staa_cli` is `staa`."""

from staa_cli.cli.app import main

if __name__ == "__main__":
    main()
