"""`python -m dogsim`: the command line without a `dogsim` command on the path."""

from dogsim.cli import app

if __name__ == "__main__":
    app()
