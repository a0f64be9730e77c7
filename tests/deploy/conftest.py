"""What several tests of the deployment files need: the site that containers share, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.site import make_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `python -m infra.site` makes it; nobody changes it."""
    place = tmp_path_factory.mktemp("site")
    make_site(place, "console.example.org", ["172.29.0.0/24"], ["app.example.org"])
    return place
