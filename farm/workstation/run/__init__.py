"""Running a build on the farm, and telling how it went."""
