"""`python -m medimg_cli` is the same door as `medimg`."""

from medimg_cli.cli.app import main

if __name__ == "__main__":
    main()
