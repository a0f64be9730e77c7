"""`python -m infra.cli` is the command `sealstream`, whatever PATH says."""

from infra.cli import main

main()
