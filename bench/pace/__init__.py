"""The benchmark of paces; see README.md of the folder above."""
