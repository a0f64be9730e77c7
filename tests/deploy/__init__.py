"""Deployment files: what their own programs, and our rules, say of them."""
