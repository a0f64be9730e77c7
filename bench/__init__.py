"""Benches: each measures one part of the product against its peer, in one run; bench/README.md says how."""
