"""Images that nodes read without checking: which of them matter, and what to do. Things work in spite of that."""

from __future__ import annotations

from collections.abc import Iterator

from farm.config import FIRST_KIND
from farm.errors.hints import hint
from farm.image.kinds import build_command
from farm.instance import Instance
from farm.view.status import UnverifiedImage
from farm.view.wording import NAMED
from farm.watch.events import Stage
from farm.watch.state import Farm


def unverified_images(farm: Farm, instance: Instance) -> Iterator[UnverifiedImage]:
    """Those that next boots get, and those that nodes still run."""
    for image in instance.unverified:
        nodes = [node.name for node in farm.nodes.values() if node.image == image and node.stage is not Stage.OFF]
        name = image.rpartition("/")[0] or FIRST_KIND
        if image in instance.images.values():
            yield UnverifiedImage(image, name, True, nodes, hint(f"Build it again: {build_command(name)}"))
        elif nodes:
            fix = f"Reboot: sudo farm node reboot {' '.join(nodes[:NAMED])}"
            yield UnverifiedImage(image, name, False, nodes, hint(fix))
